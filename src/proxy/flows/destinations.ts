/**
 * Where a flow of a guest may go: the one place that decides it, for TCP, UDP, pings and targets of the multiplexer.
 * Asked once for each flow, and for UDP and pings once more when the flow changes its destination. A refusal is counted,
 * for all and for its guest, and shown to whoever follows the blocks.
 */
import { Counters } from '../../base/counters.ts';
import { addressFromWords, type IpAddress, ipv4 } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';
import { extractIpv4 } from '../../services/nat64-address.ts';
import type { PolicyAction } from '../../services/policy/policy.ts';
import type { PolicyEngine } from '../../services/policy/policy-engine.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AddressMap, RefusedWhy } from '../address-map.ts';
import type { NameCheck } from '../inspect/name-check.ts';
import type { GuestPolicy, Judged, PolicyTarget } from '../policy/guest-policy.ts';
import { PolicyCheck } from '../policy/policy-check.ts';
import { objectionToCarried } from './carried-ipv4.ts';
import type { FlowVerdict } from './flow.ts';
import type { FlowGate, GateDenial, GateWhy } from './flow-gate.ts';
import type { Translation } from './translation.ts';
import type { DatagramRelays, DatagramVia, Via } from './via.ts';

export type DestinationProtocol = 'tcp' | 'udp' | 'icmp';

export type Loopback = '127.0.0.1' | '::1';

export type Destination = HostLoopback | Outside | Gateway | RefusedDestination;

export interface Gateway {
  readonly kind: 'gateway';
}

export interface HostLoopback {
  readonly kind: 'host-loopback';
  readonly address: Loopback;
  /** For when nobody listens there: the loopback of the other family. Undefined: it is closed. */
  readonly twin: Loopback | undefined;
  /** As those of {@link Outside}. */
  readonly check?: NameCheck | undefined;
  readonly verdict?: FlowVerdict | undefined;
  readonly via?: undefined;
  readonly relay?: undefined;
}

export interface Outside {
  readonly kind: 'outside';
  readonly address: string;
  /** Of TCP. Default: that which the guest asked for. */
  readonly port?: number | undefined;
  /** It stands for another, which the guest asked for. */
  readonly isTranslated: boolean;
  /** Decides by what the guest says first; absent where that makes no difference. */
  readonly check?: NameCheck | undefined;
  /** Undefined where there is no policy. */
  readonly verdict?: FlowVerdict | undefined;
  /** Through an upstream proxy; absent where there is none for it. */
  readonly via?: Via | undefined;
  /** Of UDP, likewise. */
  readonly relay?: DatagramVia | undefined;
}

export interface RefusedDestination {
  readonly kind: 'refused';
  readonly why: BlockedWhy;
  /** Of {@link DestinationsDeps.refusals}. */
  readonly count: string;
  /** How the sender is informed; never about what was sent to many, or from nowhere (RFC 1122 §3.2.2). */
  readonly answer: RefusalAnswer;
}

/** - `refused`: as if nobody listened there */
export type RefusalAnswer = 'prohibited' | 'refused' | 'none';

/** Of a datagram. */
export const REFUSAL_ERRORS = { prohibited: 'prohibited', refused: 'port-unreachable' } as const;

/** What a guest has asked for in vain. */
export interface Block {
  readonly owner: Guest;
  readonly protocol: DestinationProtocol | 'dns';
  /** Undefined for a name that it may not ask for. */
  readonly remote: IpAddress | undefined;
  /** 0 for pings. */
  readonly port: number;
  /** That it asked for, or by which it found the address. */
  readonly name?: string | undefined;
  readonly why: BlockedWhy;
  /** Of a policy: the rule that forbids it, or what the guest said that does not agree with one. */
  readonly rule?: string | undefined;
  /** It was let pass: the policy observes. */
  readonly isObserved?: boolean | undefined;
}

/** - `proxied`: an upstream proxy has no way for it */
export type BlockedWhy = RefusedWhy | GateWhy | 'policy' | 'proxied';

export interface DestinationsDeps {
  readonly addresses: AddressMap;
  /** Whether a TCP connection to `address` and `port` would reach hawser itself (API, guest links). */
  readonly isOwnListener: (address: string, port: number) => boolean;
  /** Whether an address is the host's own, where those are closed to guests; absent where they are open. */
  readonly isClosedHost?: ((address: string) => boolean) | undefined;
  readonly policy?: GuestPolicy | undefined;
  /** Asked last; of TCP by whoever holds the SYN. */
  readonly gate?: FlowGate | undefined;
  /** Those in use; undefined where there are none. */
  readonly proxies?: Pick<ProxiesInUse, 'current'> | undefined;
  /** Destinations refused, by protocol and reason. */
  readonly refusals: Counters<string>;
  /** Called for each, but for those of multicasts and broadcasts. */
  readonly onBlock?: (block: Block) => void;
}

/** A flow that may go to `to`. */
export interface ProxyQuestion {
  readonly owner: Guest;
  readonly protocol: DestinationProtocol;
  /** As the guest knows it. */
  readonly remote: IpAddress;
  readonly port: number;
  readonly to: Outside;
  /**
   * Whether a policy allows the flow by this name too. Absent: there is no policy that forbids any.
   *
   * @returns the rule that does not
   */
  readonly objectionTo?: ((name: string) => string | undefined) | undefined;
  /** Called where a flow is ended for what the guest says. */
  readonly onDenied: (why: string) => void;
}

/** Upstream proxies that are in use; undefined while there are none. */
export interface ProxiesInUse {
  current: ProxyChoice | undefined;
  relays: DatagramRelays | undefined;
}

/** Which flows go through an upstream proxy. */
export interface ProxyChoice {
  /** @returns `to` itself, or with its way; undefined: it must not go anywhere */
  choose(question: ProxyQuestion): Outside | undefined;
}

const GATEWAY: Gateway = { kind: 'gateway' };
const DNS_PORT = 53;
const LOOPBACKS = ['127.0.0.1', '::1'] as const;
const LOOPBACKS_OF_6 = ['::1', '127.0.0.1'] as const;
const ANSWERED: ReadonlySet<RefusedWhy> = new Set([
  ...(['link-local', 'metadata', 'own-listener', 'host', 'not-global'] as const),
]);
const QUIET: ReadonlySet<RefusedWhy> = new Set(['multicast', 'broadcast', 'unspecified']);

const POLICY_ANSWERS: Readonly<Record<PolicyAction, RefusalAnswer>> = {
  allow: 'none',
  deny: 'prohibited',
  reject: 'refused',
  drop: 'none',
};

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
    const answer = ANSWERED.has(why) ? 'prohibited' : 'none';
    const made: RefusedDestination = { kind: 'refused', why, count, answer };
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

  /** The same decisions by another policy, of which nobody hears. */
  decidingBy(policy: GuestPolicy): Destinations {
    const { onBlock: _nobody, ...deps } = this.deps;
    return new Destinations({ ...deps, policy, refusals: new Counters() });
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
    const to = this.destinationOf(owner, protocol, words, at, port);
    if (this.deps.gate === undefined || protocol === 'tcp') return to;
    return to.kind === 'refused' || to.kind === 'gateway'
      ? to
      : (this.byGate(this.deps.gate, owner, protocol, addressFromWords(words, at), port, to) ?? to);
  }

  /** The gate has denied a flow. */
  refuseByGate(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    { why, text, isPending }: GateDenial,
  ): RefusedDestination {
    const count = `${protocol}-${why}`;
    if (isPending === true) return { kind: 'refused', why, count, answer: 'none' };
    this.deps.refusals.add(count);
    owner.refusals.add(count);
    this.deps.onBlock?.({ owner, protocol, remote, port, why, rule: text });
    return { kind: 'refused', why, count, answer: 'prohibited' };
  }

  private byGate(
    gate: FlowGate,
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    { verdict }: HostLoopback | Outside,
  ): RefusedDestination | undefined {
    const denial = gate.askNow({
      ...{ owner, protocol, remote, remotePort: port, rule: verdict?.rule },
      guest: undefined,
      guestPort: undefined,
    });
    return denial && this.refuseByGate(owner, protocol, remote, port, denial);
  }

  private destinationOf(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
  ): Destination {
    const kind = this.deps.addresses.kindOf(words, at);
    if (kind === 'gateway') return this.byPolicy(owner, protocol, words, at, port, GATEWAY);
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
    const { isClosedHost, proxies } = this.deps;
    if (
      isClosedHost !== undefined &&
      reaches(isClosedHost, remote, to.address, this.deps.addresses.translation)
    ) {
      return this.refuse(owner, protocol, words, at, port, 'host');
    }
    const judged = this.byPolicy(owner, protocol, words, at, port, to);
    const choice = proxies?.current;
    return choice === undefined || judged.kind !== 'outside'
      ? judged
      : this.byProxy(choice, owner, protocol, remote, port, judged);
  }

  private byProxy(
    choice: ProxyChoice,
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: Outside,
  ): Outside | RefusedDestination {
    const { policy } = this.deps;
    const engine = policy?.engine;
    const address = parseAddress(to.address) ?? remote;
    const target: PolicyTarget = { protocol, kind: 'outside', remote, address, port };
    const objectionTo = (name: string): string | undefined => {
      if (policy === undefined || engine === undefined) return undefined;
      const { verdict } = policy.judgeBy(engine, policy.callsOf(owner), target, [name]);
      return verdict.action === 'allow' ? undefined : `${name}: ${verdict.text}`;
    };
    const chosen = choice.choose({
      ...{ owner, protocol, remote, port, to },
      objectionTo: engine?.mode === 'enforce' ? objectionTo : undefined,
      onDenied: (why) => {
        if (policy === undefined || engine === undefined) return;
        policy.counts.add('denied-by-inspection');
        const judged = policy.judge(engine, owner, target);
        this.onPolicyBlock(policy, engine, owner, target, judged, why, true);
      },
    });
    if (chosen !== undefined) return chosen;
    const count = `${protocol}-proxied`;
    this.deps.refusals.add(count);
    owner.refusals.add(count);
    return { kind: 'refused', why: 'proxied', count, answer: 'refused' };
  }

  /**
   * Whether a guest may use a service that hawser has at this address: of the gateway, or of the embedding program. DNS,
   * which obeys the policy by itself, is always there.
   *
   * @param link of the multiplexer, where it comes by one
   * @returns how a refusal is answered; undefined: it may
   */
  refusesService(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
    link?: string,
  ): RefusalAnswer | undefined {
    if (this.deps.policy?.engine === undefined || port === DNS_PORT) return undefined;
    const to = this.byPolicy(owner, protocol, words, at, port, GATEWAY, link);
    return to.kind === 'refused' ? to.answer : undefined;
  }

  /** As {@link refusesService}, of a flow that begins there: there may have to be a record of it. */
  refusesServiceFlow(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
    link?: string,
  ): RefusalAnswer | undefined {
    const answer = this.refusesService(owner, protocol, words, at, port, link);
    const { gate } = this.deps;
    if (answer !== undefined || gate === undefined) return answer;
    const remote = addressFromWords(words, at);
    const to = { owner, protocol, remote, remotePort: port, rule: undefined };
    const denial = gate.askService({ ...to, guest: undefined, guestPort: undefined });
    return denial && this.refuseByGate(owner, protocol, remote, port, denial).answer;
  }

  private byPolicy(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
    to: HostLoopback | Outside | Gateway,
    link?: string,
  ): Destination {
    const { policy } = this.deps;
    const engine = policy?.engine;
    if (policy === undefined || engine === undefined) return to;
    const remote = addressFromWords(words, at);
    const isSame = to.kind === 'gateway' || (to.kind === 'outside' && !to.isTranslated);
    const address = isSame ? remote : (parseAddress(to.address) ?? remote);
    const target: PolicyTarget = { protocol, kind: to.kind, remote, address, port };
    const judged = policy.judge(engine, owner, target, link);
    const { verdict } = judged;
    if (verdict.action !== 'allow') {
      if (!this.onDenied(policy, engine, owner, target, judged, verdict.text)) return to;
      const count = `${protocol}-policy`;
      this.deps.refusals.add(count);
      owner.refusals.add(count);
      return { kind: 'refused', why: 'policy', count, answer: POLICY_ANSWERS[verdict.action] };
    }
    policy.counts.add('allowed');
    if (to.kind === 'gateway') return to;
    if (!verdict.byName || protocol === 'icmp' || engine.mode === 'observe') {
      return { ...to, verdict: { rule: verdict.text, stated: undefined, allStated: [] } };
    }
    const onDenied = (why: string): void => {
      policy.counts.add('denied-by-inspection');
      this.onPolicyBlock(policy, engine, owner, target, judged, why, true);
    };
    const check = new PolicyCheck({ policy, owner, target, judged, onDenied });
    return { ...to, check, verdict: check };
  }

  /** @returns whether it is denied, and not only observed */
  private onDenied(...of: Parameters<Destinations['onPolicyBlock']>): boolean {
    const [policy] = of;
    const isDenied = this.onPolicyBlock(...of);
    policy.counts.add(isDenied ? 'denied' : 'observed');
    return isDenied;
  }

  private onPolicyBlock(
    policy: GuestPolicy,
    engine: PolicyEngine,
    owner: Guest,
    { protocol, remote, port }: PolicyTarget,
    { place, names }: Judged,
    why: string,
    isStated = false,
  ): boolean {
    const name = names.at(-1);
    const isDenied = policy.deny(engine, {
      ...{ owner, protocol, name, address: remote, port, place, why, isStated },
    });
    const block: Block = { owner, protocol, remote, port, name, why: 'policy', rule: why };
    this.deps.onBlock?.(isDenied ? block : { ...block, isObserved: true });
    return isDenied;
  }

  /**
   * Whether a channel of the multiplexer may lead to a target that a rule of the configuration allows. A rule opens
   * the host's loopback, and networks; nothing but an option opens metadata, and nothing hawser's own listeners; and the
   * policy has to allow it too.
   *
   * @param port 0: a Unix socket of the host, `address` is its loopback
   */
  opensTarget(
    owner: Guest,
    protocol: DestinationProtocol,
    address: IpAddress,
    port: number,
    link: string,
  ): boolean {
    const words = Int32Array.of(address.a, address.b, address.c, address.d);
    const why = port === 0 ? undefined : this.targetRefusal(protocol, address, words, port);
    if (why !== undefined) this.refuse(owner, protocol, words, 0, port, why);
    if (why !== undefined) return false;
    const text = address.toString();
    const to: HostLoopback | Outside =
      isLoopback6(address) || (address.family === 4 && address.d >>> 24 === 127)
        ? { kind: 'host-loopback', address: '127.0.0.1', twin: undefined }
        : { kind: 'outside', address: text, isTranslated: false };
    const decided = this.byPolicy(owner, protocol, words, 0, port, to, link);
    if (decided.kind === 'refused' || decided.kind === 'gateway') return false;
    const { gate } = this.deps;
    return (
      gate === undefined || this.byGate(gate, owner, protocol, address, port, decided) === undefined
    );
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
