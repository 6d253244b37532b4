/**
 * NAT64 (RFC 6146) at both ends of hawser. Guests reach IPv4 by IPv6 addresses of our prefixes: 64:ff9b::/96 for public
 * addresses alone (RFC 6052 §3.1), 64:ff9b:1::/96 for private ones too. And a host whose network has IPv6 only reaches public
 * IPv4 by the network's own prefix (RFC 7050), for guests of either family.
 *
 * The composition sets what holds, at any time; flows that exist go on as they began.
 */
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import {
  embedIpv4,
  extractIpv4,
  ipv4Scope,
  LOCAL_NAT64,
  type Nat64Prefix,
  WELL_KNOWN_NAT64,
} from '../../services/nat64-address.ts';

export interface TranslationRules {
  /** Guests reach public IPv4. */
  readonly isOn: boolean;
  /** Guests reach private IPv4 too. */
  readonly isForPrivate: boolean;
  /** Of a host without IPv4; undefined where it has that, be it by a CLAT. */
  readonly hostPrefix: Nat64Prefix | undefined;
}

const OFF: TranslationRules = { isOn: false, isForPrivate: false, hostPrefix: undefined };

export class Translation {
  /** Changes with the rules. */
  epoch = 0;
  private rules: TranslationRules;

  constructor(rules: TranslationRules = OFF) {
    this.rules = rules;
  }

  get hostPrefix(): Nat64Prefix | undefined {
    return this.rules.hostPrefix;
  }

  set(rules: TranslationRules): void {
    this.rules = rules;
    this.epoch++;
  }

  /**
   * Where the host's socket for `remote` leads: to another address for one that is translated, else to itself.
   *
   * @param remote decided on before, with the IPv4 address that it carries
   * @returns undefined for an IPv4 address that its prefix must not carry
   */
  hostSide(remote: IpAddress): IpAddress | undefined {
    const { hostPrefix } = this.rules;
    if (hostPrefix === undefined && remote.family === 4) return remote;
    const word = remote.family === 4 ? remote.d : this.carried(remote);
    if (word === undefined) return remote;
    const isPublic = ipv4Scope(word) === 'public';
    if (!isPublic && extractIpv4(WELL_KNOWN_NAT64, remote) !== undefined) return undefined;
    if (isPublic && hostPrefix !== undefined) return embedIpv4(hostPrefix, word);
    return remote.family === 4 ? remote : ipv4(word);
  }

  /** What a guest of `family` sees for `peer` of a socket that {@link hostSide} led elsewhere; undefined: nothing. */
  guestSide(peer: IpAddress, family: 4 | 6): IpAddress | undefined {
    const { hostPrefix, isOn, isForPrivate } = this.rules;
    const word = peer.family === 4 ? peer.d : hostPrefix && extractIpv4(hostPrefix, peer);
    if (word === undefined) return undefined;
    if (family === 4) return ipv4(word);
    if (isOn && ipv4Scope(word) === 'public') return embedIpv4(WELL_KNOWN_NAT64, word);
    return isForPrivate ? embedIpv4(LOCAL_NAT64, word) : undefined;
  }

  private carried(remote: IpAddress): number | undefined {
    const { isOn, isForPrivate } = this.rules;
    const word = isOn ? extractIpv4(WELL_KNOWN_NAT64, remote) : undefined;
    return word ?? (isForPrivate ? extractIpv4(LOCAL_NAT64, remote) : undefined);
  }
}
