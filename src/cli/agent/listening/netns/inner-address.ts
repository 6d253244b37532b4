/**
 * How the host names a server in another network namespace of the guest: an address of the prefix whose packets everybody
 * discards (100::/64, RFC 6666), which holds the namespace's inode and an address of IPv4 there. The loopback stands for
 * both families; the agent knows which of them listens. Nothing has to be remembered for such an address.
 */
import { IpAddress, ipv4 } from '../../../../base/ip-address.ts';

const DISCARD = 0x0100_0000;

export interface InnerAddress {
  readonly inode: number;
  readonly address: IpAddress;
}

/** @param address of IPv4 */
export const innerAddress = (inode: number, address: IpAddress): IpAddress =>
  new IpAddress(DISCARD, 0, inode, address.d);

/** Of an address in its canonical form. */
export const isInnerText = (text: string): boolean => text.startsWith('100::');

/** @returns undefined for an address of the agent's own namespace */
export const parseInner = ({ a, b, c, d }: IpAddress): InnerAddress | undefined =>
  a === DISCARD && b === 0 ? { inode: c >>> 0, address: ipv4(d) } : undefined;
