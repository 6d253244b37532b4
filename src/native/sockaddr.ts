/** `struct sockaddr_in`, `sockaddr_in6` and `sockaddr_un`. */
import { IpAddress, ipv4 } from '../base/ip-address.ts';
import { AF_INET, AF_INET6, AF_UNIX } from './constants.ts';

const PORT = 2;
const IN_ADDR = 4;
const IN6_ADDR = 8;
const SOCKADDR_IN_LEN = 16;
export const SOCKADDR_IN6_LEN = 28;

/** @param family of the socket: on one of IPv6, IPv4 addresses are v4-mapped */
export function sockaddrOf(address: IpAddress, port: number, family: 4 | 6): Uint8Array {
  const bytes = new Uint8Array(family === 4 ? SOCKADDR_IN_LEN : SOCKADDR_IN6_LEN);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family === 4 ? AF_INET : AF_INET6, true);
  view.setUint16(PORT, port);
  if (family === 4) {
    view.setInt32(IN_ADDR, address.d);
  } else {
    view.setInt32(IN6_ADDR, address.a);
    view.setInt32(IN6_ADDR + 4, address.b);
    view.setInt32(IN6_ADDR + 8, address.c);
    view.setInt32(IN6_ADDR + 12, address.d);
  }
  return bytes;
}

/** @returns undefined for an address of any other family */
export function sockaddrAddress(view: DataView, off: number): IpAddress | undefined {
  const family = view.getUint16(off, true);
  if (family === AF_INET) return ipv4(view.getInt32(off + IN_ADDR));
  if (family !== AF_INET6) return undefined;
  return new IpAddress(
    view.getInt32(off + IN6_ADDR),
    view.getInt32(off + IN6_ADDR + 4),
    view.getInt32(off + IN6_ADDR + 8),
    view.getInt32(off + IN6_ADDR + 12),
  );
}

export const sockaddrPort = (view: DataView, off: number): number => view.getUint16(off + PORT);

export const SOCKADDR_UN_LEN = 110;
/** Bytes before the name of a Unix socket. A socket without a name has no more, and an abstract name begins with a 0. */
export const UNIX_NAME = 2;

/** @param path at most 107 bytes */
export function unixSockaddr(path: string): Uint8Array {
  const name = Buffer.from(path);
  const bytes = new Uint8Array(UNIX_NAME + name.length + 1);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(name, UNIX_NAME);
  return bytes;
}

/** The path that a Unix socket is bound to; undefined for one with another name, or none. */
export function unixPathOf(name: Uint8Array): string | undefined {
  if (name.length <= UNIX_NAME || name[UNIX_NAME] === 0) return undefined;
  const end = name.indexOf(0, UNIX_NAME);
  return Buffer.from(name.subarray(UNIX_NAME, end < 0 ? undefined : end)).toString();
}
