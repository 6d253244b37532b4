/** A path: from a source address of ours to a neighbour, with what each packet on it has in common. */
import type { IpAddress } from '../base/ip-address.ts';
import { pseudoAddressSum } from '../wire/checksum.ts';
import type { Ends, IpFamily } from './ip-family.ts';
import { IPV4 } from './ipv4/family.ts';
import { IPV6 } from './ipv6/family.ts';
import type { Neighbor } from './neighbor.ts';

export interface Path extends Ends {
  readonly neighbor: Neighbor;
  readonly ip: IpFamily;
  readonly headerLen: number;
}

export function pathTo(neighbor: Neighbor, source: IpAddress, flowLabel = 0): Path {
  const ip = neighbor.address.family === 4 ? IPV4 : IPV6;
  return { neighbor, source, ip, headerLen: ip.headerLen, flowLabel };
}

/** Sum of the pseudo-header of packets on `path`, without their length. */
export function pathSum(path: Path, protocol: number): number {
  const { source, neighbor } = path;
  const { address } = neighbor;
  words.set([source.a, source.b, source.c, source.d, address.a, address.b, address.c, address.d]);
  return pseudoAddressSum(words, 0, 4, address.family, protocol);
}
const words = new Int32Array(8);

/** A label for a flow between two ends: of its addresses and ports, and of a secret (RFC 6437 §3). */
export function flowLabelOf(secret: number, remote: IpAddress, ports: number): number {
  let hash = Math.imul(secret ^ remote.d, 0x9e37_79b1) ^ remote.c;
  hash = Math.imul(hash ^ ports, 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2_ae35);
  return hash >>> 12;
}
