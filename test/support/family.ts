/**
 * The family in which packet scripts run. Tests name their addresses as words of IPv4; each word has a twin in IPv6, so
 * that one table of rows serves both.
 */
import { IpAddress, ipv4 } from '../../src/base/ip-address.ts';

const NETWORK = 0xc0a8_7f00 | 0;

/** The guests' network in IPv6. */
export const PREFIX: IpAddress = new IpAddress(0xfd12_3456, 0x789a_0001, 0, 0);
const OUTSIDE = new IpAddress(0x2001_0db8, 0, 0, 0);

export class Family {
  readonly version: 4 | 6;
  readonly name: string;
  /** Of the IP header. */
  readonly headerLen: number;
  /** What an MTU of IPv4 has to be for segments of the same length. */
  readonly mtuMore: number;

  constructor(version: 4 | 6, headerLen: number) {
    this.version = version;
    this.name = `IPv${version}`;
    this.headerLen = headerLen;
    this.mtuMore = headerLen - 20;
  }

  address(word: number): IpAddress {
    if (this.version === 4) return ipv4(word);
    const isInside = (word & ~0xff) === NETWORK;
    const { a, b } = isInside ? PREFIX : OUTSIDE;
    return new IpAddress(a, b, 0, isInside ? word & 0xff : word);
  }
}

export const IPV4: Family = new Family(4, 20);
export const IPV6: Family = new Family(6, 40);

let current = IPV4;
/** Of the suite that runs. */
export const family = (): Family => current;

/** A suite once for each family. */
export function overBothFamilies(name: string, suite: (family: Family) => void): void {
  for (const one of [IPV4, IPV6]) overFamily(one, `${name}, ${one.name}`, suite);
}

export function overFamily(one: Family, name: string, suite: (family: Family) => void): void {
  describe(name, () => {
    before(() => {
      current = one;
    });
    after(() => {
      current = IPV4;
    });
    suite(one);
  });
}
