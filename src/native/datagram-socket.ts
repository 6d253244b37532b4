import type { IpAddress } from '../base/ip-address.ts';
import * as n from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';
import { sockaddrOf, sockaddrPort } from './sockaddr.ts';

/** See `Posix.openDatagramSocket`. */
export function openDatagramSocket(
  c: Libc,
  address: IpAddress,
  port: number,
  dualStack: boolean,
): { readonly fd: number; readonly port: number } {
  const { family } = address;
  const what = `cannot bind a UDP socket to ${address} port ${port}`;
  const type = n.SOCK_DGRAM | n.SOCK_NONBLOCK | n.SOCK_CLOEXEC;
  const fd = c.socket(family === 4 ? n.AF_INET : n.AF_INET6, type, 0);
  if (fd < 0) throw new PosixError(what, c.errno());
  const set = (level: number, option: number, value: number): number =>
    c.setsockopt(fd, level, option, new Uint8Array(Int32Array.of(value).buffer), 4);
  const name = sockaddrOf(address, port, family);
  const enabled =
    family === 4
      ? set(n.SOL_IP, n.IP_PKTINFO, 1)
      : set(n.SOL_IPV6, n.IPV6_V6ONLY, dualStack ? 0 : 1) || set(n.SOL_IPV6, n.IPV6_RECVPKTINFO, 1);
  const bound = new Uint8Array(128);
  const len = new Uint8Array(Int32Array.of(bound.length).buffer);
  if (enabled < 0 || c.bind(fd, name, name.length) < 0 || c.getsockname(fd, bound, len) < 0) {
    const error = new PosixError(what, c.errno());
    c.close(fd);
    throw error;
  }
  return { fd, port: sockaddrPort(new DataView(bound.buffer), 0) };
}
