/** `struct sockaddr_in` and `sockaddr_in6`. */
import { IpAddress, ipv4 } from '../base/ip-address.ts';
import { AF_INET, AF_INET6 } from './constants.ts';

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
