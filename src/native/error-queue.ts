import { getSystemErrorName } from 'node:util';
import * as n from './constants.ts';
import { PosixError } from './errors.ts';
import { CMSG_HDR_LEN, type Message } from './message.ts';
import type { QueuedError } from './posix.ts';
import { sockaddrAddress, sockaddrPort } from './sockaddr.ts';

/** struct sock_extended_err, followed by the offender's address. */
const ERRNO = 0;
const ORIGIN = 4;
const TYPE = 5;
const CODE = 6;
const INFO = 8;
const OFFENDER = 16;

const ORIGINS: readonly QueuedError['origin'][] = ['other', 'local', 'icmp', 'icmp6'];

/** See `Posix.readErrorQueue`. */
export function readErrorQueue(message: Message, fd: number): QueuedError | undefined {
  const len = message.receive(fd, n.MSG_ERRQUEUE | n.MSG_DONTWAIT);
  if (len === -n.EAGAIN) return undefined;
  if (len < 0) throw new PosixError('cannot read the error queue', -len);
  let at = message.findControl(n.SOL_IP, n.IP_RECVERR);
  if (at < 0) at = message.findControl(n.SOL_IPV6, n.IPV6_RECVERR);
  if (at < 0) return undefined; // not an error that was requested: timestamps, zero-copy notices
  const view = message.control.view;
  const base = at + CMSG_HDR_LEN;
  const named = message.nameLen > 0;
  return {
    code: getSystemErrorName(-view.getUint32(base + ERRNO, true)),
    origin: ORIGINS[view.getUint8(base + ORIGIN)] ?? 'other',
    icmpType: view.getUint8(base + TYPE),
    icmpCode: view.getUint8(base + CODE),
    info: view.getUint32(base + INFO, true),
    offender: sockaddrAddress(view, base + OFFENDER),
    destination: named ? sockaddrAddress(message.name.view, 0) : undefined,
    destinationPort: named ? sockaddrPort(message.name.view, 0) : 0,
    payload: message.data.bytes.slice(0, len),
  };
}
