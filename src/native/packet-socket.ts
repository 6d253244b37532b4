import * as n from './constants.ts';
import { PosixError } from './errors.ts';
import { checkIfName } from './ifreq.ts';
import type { Libc } from './libc.ts';
import { inNetns } from './netns.ts';
import { setReceiveBuffer, setSendBuffer } from './socket-buffer.ts';

/** Room for bursts: the default of 208 KiB is about 90 frames of a flood. */
const BUFFER_BYTES = 4 << 20;
const SOCKADDR_LL_LEN = 20;

/** See `Posix.openPacketSocket`. */
export function openPacketSocket(
  c: Libc,
  ifName: string,
  netns: string | undefined,
  vnetHdr: boolean,
): number {
  checkIfName(ifName);
  const open = (): number => openHere(c, ifName, vnetHdr);
  return netns === undefined ? open() : inNetns(c, netns, open);
}

function openHere(c: Libc, ifName: string, vnetHdr: boolean): number {
  const index = c.ifNameToIndex(ifName);
  if (index === 0) throw new PosixError(`cannot find interface ${ifName}`, c.errno());
  // Protocol 0 receives nothing until bound, so that no frame of another interface is received.
  const fd = c.socket(n.AF_PACKET, n.SOCK_RAW | n.SOCK_NONBLOCK | n.SOCK_CLOEXEC, 0);
  if (fd < 0) {
    throw new PosixError('cannot open a packet socket', c.errno(), 'it needs CAP_NET_RAW');
  }
  try {
    setOption(c, fd, n.SOL_PACKET, n.PACKET_IGNORE_OUTGOING, 1);
    if (vnetHdr) setOption(c, fd, n.SOL_PACKET, n.PACKET_VNET_HDR, 1);
    setReceiveBuffer(c, fd, BUFFER_BYTES);
    setSendBuffer(c, fd, BUFFER_BYTES);
    const address = new DataView(new ArrayBuffer(SOCKADDR_LL_LEN));
    address.setUint16(0, n.AF_PACKET, true);
    address.setUint16(2, n.ETH_P_ALL, false);
    address.setInt32(4, index, true);
    if (c.bind(fd, new Uint8Array(address.buffer), SOCKADDR_LL_LEN) < 0) {
      throw new PosixError(`cannot bind a packet socket to ${ifName}`, c.errno());
    }
    return fd;
  } catch (error) {
    c.close(fd);
    throw error;
  }
}

function setOption(c: Libc, fd: number, level: number, option: number, value: number): void {
  if (c.setsockopt(fd, level, option, int32(value), 4) < 0) {
    throw new PosixError(`cannot set packet socket option ${level}/${option}`, c.errno());
  }
}

function int32(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, value, true);
  return new Uint8Array(view.buffer);
}
