/**
 * Where a flow of a guest may go: the one place that decides it, for TCP, UDP, pings and targets of the multiplexer.
 * Asked once for each flow, and for UDP and pings once more when the flow changes its destination. A refusal is counted,
 * for all and for its guest, and shown to whoever follows the blocks.
 */
import type { Counters } from '../../base/counters.ts';
import { addressFromWords, type IpAddress, ipv4 } from '../../base/ip-address.ts';
import { extractIpv4 } from '../../services/nat64-address.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AddressMap, RefusedWhy } from '../address-map.ts';
import type { NameCheck } from '../inspect/name-check.ts';
import { objectionToCarried } from './carried-ipv4.ts';
import type { Translation } from './translation.ts';

export type DestinationProtocol = 'tcp' | 'udp' | 'icmp';

export type Loopback = '127.0.0.1' | '::1';

export type Destination =
  | HostLoopback
  | Outside
  | { readonly kind: 'gateway' }
  | RefusedDestination;

export interface HostLoopback {
  readonly kind: 'host-loopback';
  readonly address: Loopback;
  /** For when nobody listens there: the loopback of the other family. Undefined: it is closed. */
  readonly twin: Loopback | undefined;
  /** As that of {@link Outside}. */
  readonly check?: NameCheck | undefined;
}

export interface Outside {
  readonly kind: 'outside';
  readonly address: string;
  /** It stands for another, which the guest asked for. */
  readonly isTranslated: boolean;
  /** Decides by what the guest says first; absent where that makes no difference. */
  readonly check?: NameCheck | undefined;
}

export interface RefusedDestination {
  readonly kind: 'refused';
  readonly why: RefusedWhy;
  /** Of {@link DestinationsDeps.refusals}. */
  readonly count: string;
  /** Whether the sender is informed (ICMP): never about what was sent to many, or from nowhere (RFC 1122 §3.2.2). */
  readonly answered: boolean;
}

/** What a guest has asked for in vain. */
export interface Block {
  readonly owner: Guest;
  readonly protocol: DestinationProtocol;
  readonly remote: IpAddress;
  /** 0 for pings. */
  readonly port: number;
  readonly why: RefusedWhy;
}

export interface DestinationsDeps {
  readonly addresses: AddressMap;
  /** Whether a TCP connection to `address` and `port` would reach hawser itself (API, guest links). */
  readonly isOwnListener: (address: string, port: number) => boolean;
  /** Whether an address is the host's own, where those are closed to guests; absent where they are open. */
  readonly isClosedHost?: ((address: string) => boolean) | undefined;
  /** Destinations refused, by protocol and reason. */
  readonly refusals: Counters<string>;
  /** Called for each, but for those of multicasts and broadcasts. */
  readonly onBlock?: (block: Block) => void;
}

const GATEWAY: Destination = { kind: 'gateway' };
const LOOPBACKS = ['127.0.0.1', '::1'] as const;
const LOOPBACKS_OF_6 = ['::1', '127.0.0.1'] as const;
const ANSWERED: ReadonlySet<RefusedWhy> = new Set([
  ...(['link-local', 'metadata', 'own-listener', 'host', 'not-global'] as const),
]);
const QUIET: ReadonlySet<RefusedWhy> = new Set(['multicast', 'broadcast', 'unspecified']);

/** Made once, so that refusing allocates nothing. */
class Refusals {
  private readonly made = new Map<RefusedWhy, RefusedDestination>();
  private readonly protocol: DestinationProtocol;

  constructor(protocol: DestinationProtocol) {
    this.protocol = protocol;
  }

  get(why: RefusedWhy): RefusedDestination {
    const known = this.made.get(why);
    if (known !== undefined) return known;
    const count = `${this.protocol}-${why}`;
    const made: RefusedDestination = { kind: 'refused', why, count, answered: ANSWERED.has(why) };
    this.made.set(why, made);
    return made;
  }
}

export class Destinations {
  private readonly deps: DestinationsDeps;
  private readonly refusals = {
    tcp: new Refusals('tcp'),
    udp: new Refusals('udp'),
    icmp: new Refusals('icmp'),
  };

  constructor(deps: DestinationsDeps) {
    this.deps = deps;
  }

  /**
   * @param words of which four at `at` are the destination's address, borrowed for the call
   * @param port 0 for pings
   */
  decide(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
  ): Destination {
    const kind = this.deps.addresses.kindOf(words, at);
    if (kind === 'gateway') return GATEWAY;
    if (kind !== 'outside' && kind !== 'host-loopback') {
      return this.refuse(owner, protocol, words, at, port, kind);
    }
    const remote = addressFromWords(words, at);
    const to =
      kind === 'outside' ? this.outsideOf(remote) : this.loopbackOf(protocol, remote.family, port);
    if (to === undefined) return this.refuse(owner, protocol, words, at, port, 'not-global');
    if (this.isOwn(protocol, to.address, port)) {
      return this.refuse(owner, protocol, words, at, port, 'own-listener');
    }
    const { isClosedHost } = this.deps;
    return isClosedHost !== undefined &&
      reaches(isClosedHost, remote, to.address, this.deps.addresses.translation)
      ? this.refuse(owner, protocol, words, at, port, 'host')
      : to;
  }

  /**
   * Whether a channel of the multiplexer may lead to a target that a rule of the configuration allows. A rule opens
   * the host's loopback, and networks; nothing but an option opens metadata, and nothing hawser's own listeners.
   */
  opensTarget(
    owner: Guest,
    protocol: DestinationProtocol,
    address: IpAddress,
    port: number,
  ): boolean {
    const words = Int32Array.of(address.a, address.b, address.c, address.d);
    const why = this.targetRefusal(protocol, address, words, port);
    if (why !== undefined) this.refuse(owner, protocol, words, 0, port, why);
    return why === undefined;
  }

  private targetRefusal(
    protocol: DestinationProtocol,
    address: IpAddress,
    words: Int32Array,
    port: number,
  ): RefusedWhy | undefined {
    const kind = this.deps.addresses.kindOf(words, 0);
    if (this.isOwn(protocol, address.toString(), port)) return 'own-listener';
    if (kind === 'link-local' || kind === 'metadata') return kind;
    const isPlain = address.family === 4 || (kind === 'loopback' && isLoopback6(address));
    if (isPlain || kind === 'outside' || kind === 'gateway' || kind === 'host-loopback') {
      return undefined;
    }
    return kind === 'subnet' ? undefined : kind;
  }

  private outsideOf(remote: IpAddress): Outside | undefined {
    const actual = this.deps.addresses.translation.hostSide(remote);
    if (actual === undefined) return undefined;
    return { kind: 'outside', address: actual.toString(), isTranslated: actual !== remote };
  }

  private loopbackOf(protocol: DestinationProtocol, family: 4 | 6, port: number): HostLoopback {
    const [address, other] = family === 4 ? LOOPBACKS : LOOPBACKS_OF_6;
    const twin = this.isOwn(protocol, other, port) ? undefined : other;
    return { kind: 'host-loopback', address, twin };
  }

  private isOwn(protocol: DestinationProtocol, address: string, port: number): boolean {
    return protocol === 'tcp' && this.deps.isOwnListener(address, port);
  }

  private refuse(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
    why: RefusedWhy,
  ): RefusedDestination {
    const refused = this.refusals[protocol].get(why);
    const { refusals, onBlock } = this.deps;
    refusals.add(refused.count);
    owner.refusals.add(refused.count);
    if (onBlock !== undefined && !QUIET.has(why)) {
      onBlock({ owner, protocol, remote: addressFromWords(words, at), port, why });
    }
    return refused;
  }
}

const isLoopback6 = ({ a, b, c, d }: IpAddress): boolean =>
  a === 0 && b === 0 && c === 0 && d === 1;

/** Whether packets to `remote`, by itself or by the IPv4 address that it carries, arrive at the host. */
function reaches(
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
