/**
 * The meaning of an address for a guest: the host's loopback, the gateway, the outside, or
 * something that guests may not reach. And the reverse: the address that a guest sees for a peer
 * of one of the host's sockets.
 *
 * Addresses are classified as words, so that the packet path allocates nothing. Whether a guest's flow may go there is
 * decided in `flows/destinations.ts`.
 */
import { IpAddress, V4_MAPPED } from '../base/ip-address.ts';
import { type Prefix, parseAddress } from '../services/address-text.ts';
import { extractIpv4 } from '../services/nat64-address.ts';
import { objectionToCarried } from './flows/carried-ipv4.ts';
import { isMetadata, isMetadata4, LINK_LOCAL_HIGH_HALF } from './flows/metadata-addresses.ts';
import { Translation } from './flows/translation.ts';

export interface AddressMapConfig {
  readonly subnet: Prefix;
  readonly gateway: IpAddress;
  /** Another address of the gateway. */
  readonly alias?: IpAddress | undefined;
  /** Undefined closes the host's loopback to guests. May be the gateway's, whose services come first. */
  readonly host: IpAddress | undefined;
  readonly subnet6?: Prefix | undefined;
  /** Guests share `subnet6` with the host's network: what is not theirs is outside. */
  readonly isShared6?: boolean | undefined;
  readonly gateway6?: IpAddress | undefined;
  readonly alias6?: IpAddress | undefined;
  /** The gateway's link-local address: it is the guests' router. */
  readonly linkLocal6?: IpAddress | undefined;
  readonly host6?: IpAddress | undefined;
  /** Whether guests may reach the host's cloud: link-local and metadata addresses. */
  readonly allowMetadata?: boolean;
  /** NAT64; by default none. */
  readonly translation?: Translation | undefined;
}

export type RefusedWhy =
  | 'unspecified'
  | 'loopback'
  | 'link-local'
  | 'metadata'
  | 'multicast'
  | 'broadcast'
  | 'reserved'
  /** IPv4 that its NAT64 prefix must not carry. */
  | 'not-global'
  | 'subnet'
  | 'own-listener'
  | 'host';

export type AddressKind = 'host-loopback' | 'gateway' | 'outside' | RefusedWhy;

/** Addresses of the host, by family. Undefined: it has none. */
export interface HostTargets {
  readonly ipv4: IpAddress | undefined;
  readonly ipv6: IpAddress | undefined;
}

const isSame = (one: HostTargets, other: HostTargets): boolean =>
  `${one.ipv4} ${one.ipv6}` === `${other.ipv4} ${other.ipv6}`;

/** Texts of peers cached with their addresses. */
const PEER_CACHE_LIMIT = 1024;

export class AddressMap {
  /** Guests have a default route of IPv6. */
  hasRoute6 = true;
  private readonly config: AddressMapConfig;
  private readonly subnet: WordPrefix;
  private readonly subnet6: WordPrefix | undefined;
  readonly translation: Translation;
  private readonly allowMetadata: boolean;
  private readonly views = [new PeerViews(), new PeerViews(), new PeerViews(), new PeerViews()];
  private viewsEpoch = 0;
  private targets: HostTargets | undefined = undefined;

  constructor(config: AddressMapConfig) {
    this.config = config;
    this.allowMetadata = config.allowMetadata ?? false;
    this.translation = config.translation ?? new Translation();
    this.subnet = wordPrefix(config.subnet);
    this.subnet6 = config.subnet6 === undefined ? undefined : wordPrefix(config.subnet6);
  }

  /** The gateway's address of a family; IPv4's when IPv6 is off. */
  gatewayOf(family: 4 | 6): IpAddress {
    return family === 6 ? (this.config.gateway6 ?? this.config.gateway) : this.config.gateway;
  }

  /** The address that stands for the host's loopback, in a family. */
  hostOf(family: 4 | 6): IpAddress | undefined {
    return family === 6 ? this.config.host6 : this.config.host;
  }

  /** Have the host's address lead to these, not to its loopback. */
  leadHostTo(targets: HostTargets): void {
    const before = this.targets;
    if (before !== undefined && isSame(before, targets)) return;
    this.targets = targets;
    for (const one of this.views) one.clear();
  }

  /** Where the host's address leads; undefined: to its loopback. */
  hostTarget(family: 4 | 6): IpAddress | 'none' | undefined {
    if (this.targets === undefined) return undefined;
    return this.targetOf(family) ?? 'none';
  }

  /** Whether guests can answer any address of the family. */
  hasRoute(family: 4 | 6): boolean {
    return family === 4 || this.hasRoute6;
  }

  /** Whether it is on the guests' own link, and neither ours nor the host's; of IPv6 its link-local addresses too. */
  isNeighbor(words: Int32Array): boolean {
    const kind = this.kindOf(words, 0);
    return kind === 'subnet' || (kind === 'link-local' && words[2] !== V4_MAPPED);
  }

  /** Whether a guest may have this address. */
  mayBeGuest(address: IpAddress): boolean {
    const words = Int32Array.of(address.a, address.b, address.c, address.d);
    const kind = this.kindOf(words, 0);
    return kind === 'subnet' || (kind === 'outside' && this.isOfGuests6(words, 0));
  }

  /** What the four words of `words` at `at` mean to a guest. Allocates nothing. */
  kindOf(words: Int32Array, at: number): AddressKind {
    const config = this.config;
    if (matches(words, at, config.host) || matches(words, at, config.host6)) {
      return 'host-loopback';
    }
    if (matches(words, at, config.gateway) || matches(words, at, config.gateway6)) return 'gateway';
    if (matches(words, at, config.alias) || matches(words, at, config.alias6)) return 'gateway';
    if (matches(words, at, config.linkLocal6)) return 'gateway';
    const a = words[at] ?? 0;
    const b = words[at + 1] ?? 0;
    const c = words[at + 2] ?? 0;
    const d = words[at + 3] ?? 0;
    if (a === 0 && b === 0 && c === V4_MAPPED) return this.kindOf4(d);
    return this.kindOf6(words, at, a, b, c, d);
  }

  /**
   * The source that guests see for a peer of a host socket. Cached, because a socket reports the
   * peer as text with every datagram.
   *
   * @param text as Node prints it: the peer of a connection, the sender of a datagram
   * @param family of the guest
   * @param isTranslated the socket is for addresses other than those that the guest knows
   * @returns undefined when guests cannot see it: the host's loopback is closed to them, or the
   *   address is one of theirs or of no host
   */
  guestView(text: string, family: 4 | 6, isTranslated: boolean): IpAddress | undefined {
    if (this.viewsEpoch !== this.translation.epoch) {
      this.viewsEpoch = this.translation.epoch;
      for (const one of this.views) one.clear();
    }
    const views = this.views[(family === 4 ? 0 : 2) + (isTranslated ? 1 : 0)];
    const known = views?.get(text);
    if (known !== undefined || views?.has(text)) return known;
    const address = parseAddress(text);
    const seen = address && this.guestViewOf(address, family, isTranslated);
    views?.add(text, seen);
    return seen;
  }

  /** {@link guestView} of an address that is one already. */
  guestViewOf(address: IpAddress, family: 4 | 6, isTranslated: boolean): IpAddress | undefined {
    if (isTranslated && this.targetOf(family)?.equals(address) === true) return this.hostOf(family);
    const words = Int32Array.of(address.a, address.b, address.c, address.d);
    const kind = this.kindOf(words, 0);
    if (kind === 'loopback') return this.hostOf(family);
    if (kind !== 'outside' && kind !== 'metadata') return undefined;
    if (isTranslated) return this.translation.guestSide(address, family);
    return address.family === family ? address : undefined;
  }

  private targetOf(family: 4 | 6): IpAddress | undefined {
    return family === 4 ? this.targets?.ipv4 : this.targets?.ipv6;
  }

  private kindOf4(word: number): AddressKind {
    const first = word >>> 24;
    if (first === 0) return 'unspecified'; // RFC 1122 §3.2.1.3: "this network"
    if (first === 127) return 'loopback';
    if (word === -1) return 'broadcast';
    if (first >= 224) return first < 240 ? 'multicast' : 'reserved'; // RFC 1112 §4: class D, E
    if (word >>> 16 === LINK_LOCAL_HIGH_HALF) return this.allowMetadata ? 'outside' : 'link-local';
    const subnet = this.subnet;
    if (((word ^ subnet.d) & subnet.maskD) === 0) {
      return (word | subnet.maskD) === -1 ? 'broadcast' : 'subnet';
    }
    return isMetadata4(word) && !this.allowMetadata ? 'metadata' : 'outside';
  }

  private readonly refusal4 = (word: number): RefusedWhy | undefined => {
    const kind = this.kindOf4(word);
    return kind === 'outside' || kind === 'gateway' || kind === 'host-loopback' ? undefined : kind;
  };

  private kindOf6(
    words: Int32Array,
    at: number,
    a: number,
    b: number,
    c: number,
    d: number,
  ): AddressKind {
    if (a === 0 && b === 0 && c === 0) {
      if (d === 0) return 'unspecified';
      return d === 1 ? 'loopback' : 'reserved'; // RFC 4291 §2.5.5.1: v4-compatible, deprecated
    }
    if (a >>> 24 === 0xff) return 'multicast';
    if (a >>> 22 === 0xfe80 >>> 6) return 'link-local';
    if (a === 0 && b === 0 && c === TRANSLATED) return 'reserved'; // RFC 7915: never on the wire
    if (this.isOfGuests6(words, at) && this.config.isShared6 !== true) return 'subnet';
    if (isMetadata(a, b, c, d) && !this.allowMetadata) return 'metadata';
    return this.objectionTo(a, b, c, d) ?? 'outside';
  }

  private isOfGuests6(words: Int32Array, at: number): boolean {
    return this.subnet6 !== undefined && inside(words, at, this.subnet6);
  }

  private objectionTo(a: number, b: number, c: number, d: number): RefusedWhy | undefined {
    const { hostPrefix } = this.translation;
    const word = hostPrefix && extractIpv4(hostPrefix, new IpAddress(a, b, c, d));
    const objection = word === undefined ? undefined : this.refusal4(word);
    return objection ?? objectionToCarried(a, b, c, d, this.refusal4);
  }
}

/** What guests see for peers, by their text. */
class PeerViews extends Map<string, IpAddress | undefined> {
  add(text: string, seen: IpAddress | undefined): void {
    if (this.size >= PEER_CACHE_LIMIT) this.clear();
    this.set(text, seen);
  }
}

/** Third word of an IPv4-translated address, `::ffff:0:a.b.c.d`. */
const TRANSLATED = 0xffff_0000 | 0;

interface WordPrefix {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly maskA: number;
  readonly maskB: number;
  readonly maskC: number;
  readonly maskD: number;
}

function wordPrefix(prefix: Prefix): WordPrefix {
  const { a, b, c, d, family } = prefix.address;
  const bits = family === 4 ? prefix.bits + 96 : prefix.bits;
  return {
    a,
    b,
    c,
    d,
    maskA: maskWord(bits),
    maskB: maskWord(bits - 32),
    maskC: maskWord(bits - 64),
    maskD: maskWord(bits - 96),
  };
}

function maskWord(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}

const inside = (words: Int32Array, at: number, prefix: WordPrefix): boolean =>
  (((words[at] ?? 0) ^ prefix.a) & prefix.maskA) === 0 &&
  (((words[at + 1] ?? 0) ^ prefix.b) & prefix.maskB) === 0 &&
  (((words[at + 2] ?? 0) ^ prefix.c) & prefix.maskC) === 0 &&
  (((words[at + 3] ?? 0) ^ prefix.d) & prefix.maskD) === 0;

const matches = (words: Int32Array, at: number, address: IpAddress | undefined): boolean =>
  address !== undefined &&
  words[at + 3] === address.d &&
  words[at + 2] === address.c &&
  words[at + 1] === address.b &&
  words[at] === address.a;
