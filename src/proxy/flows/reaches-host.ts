/** The host's own addresses, under whatever other address packets arrive there: NAT64, 6to4 and the like carry one. */
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import { extractIpv4 } from '../../services/nat64-address.ts';
import { objectionToCarried } from './carried-ipv4.ts';
import type { Translation } from './translation.ts';

/** @param text of `remote` @returns whether packets to it, by itself or by what it carries, arrive at the host */
export function reachesHost(
  isHost: (address: string) => boolean,
  remote: IpAddress,
  text: string,
  { hostPrefix }: Translation,
): boolean {
  if (text === '127.0.0.1' || text === '::1' || isHost(text)) return true;
  const isHost4 = (word: number): true | undefined => isHost(ipv4(word).toString()) || undefined;
  const { family, a, b, c, d } = remote;
  if (family === 4) return hostPrefix !== undefined && isHost4(d) === true;
  const word = hostPrefix && extractIpv4(hostPrefix, remote);
  if (word !== undefined && isHost4(word) === true) return true;
  return objectionToCarried(a, b, c, d, isHost4) === true;
}
