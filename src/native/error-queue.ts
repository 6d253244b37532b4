import { getSystemErrorName } from 'node:util';
import { IpAddress, ipv4 } from '../base/ip-address.ts';
import * as n from './constants.ts';
import { PosixError } from './errors.ts';
import { CMSG_HDR_LEN, type Message } from './message.ts';
import type { QueuedError } from './posix.ts';

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
  if (at < 0) return undefined; // nothing that we asked for: timestamps, zero-copy notices
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
    destinationPort: named ? message.name.view.getUint16(2) : 0,
    payload: message.data.bytes.slice(0, len),
  };
}

/** The address of a `struct sockaddr_in` or `sockaddr_in6`; undefined for any other. */
function sockaddrAddress(view: DataView, off: number): IpAddress | undefined {
  const family = view.getUint16(off, true);
  if (family === n.AF_INET) return ipv4(view.getInt32(off + 4));
  if (family !== n.AF_INET6) return undefined;
  return new IpAddress(
    view.getInt32(off + 8),
    view.getInt32(off + 12),
    view.getInt32(off + 16),
    view.getInt32(off + 20),
  );
}
