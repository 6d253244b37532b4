/**
 * Where a flow of a guest may go: the one place that decides it, for TCP, UDP, pings and targets of the multiplexer.
 * Asked once for each flow, and for UDP and pings once more when the flow changes its destination. A refusal is counted,
 * for all and for its guest, and shown to whoever follows the blocks.
 */
import { Counters } from '../../base/counters.ts';
import { addressFromWords, type IpAddress } from '../../base/ip-address.ts';
import type { PolicyPlace } from '../../services/policy/policy.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AddressMap, RefusedWhy } from '../address-map.ts';
import type { GuestNeighbors } from '../policy/guest-neighbors.ts';
import type { GuestPolicy } from '../policy/guest-policy.ts';
import {
  type Block,
  type Destination,
  type DestinationProtocol,
  type Gateway,
  type HostLoopback,
  type Outside,
  type OwnDnsDestination,
  type RefusalAnswer,
  type RefusedDestination,
  redirected,
} from './destination.ts';
import type { FlowGate, GateDenial } from './flow-gate.ts';
import { type AllowedVerdicts, PolicedDestinations } from './policed-destinations.ts';
import { ProxiedDestinations, type ProxiesInUse } from './proxied-destinations.ts';
import { reachesHost } from './reaches-host.ts';
import { Refusals } from './refusals.ts';

export interface DestinationsDeps {
  readonly addresses: AddressMap;
  /** Whether a TCP connection to `address` and `port` would reach hawser itself (API, guest links). */
  readonly isOwnListener: (address: string, port: number) => boolean;
  /** Whether an address is the host's own, where those are closed to guests; absent where they are open. */
  readonly isClosedHost?: ((address: string) => boolean) | undefined;
  readonly policy?: GuestPolicy | undefined;
  /** Lists what a policy denies between guests. */
  readonly neighbors?: Pick<GuestNeighbors, 'onAttempt'> | undefined;
  /** Asked last; of TCP by whoever holds the SYN. */
  readonly gate?: FlowGate | undefined;
  /** Those in use; undefined where there are none. */
  readonly proxies?: Pick<ProxiesInUse, 'current' | 'tunnels'> | undefined;
  /** Destinations refused, by protocol and reason. */
  readonly refusals: Counters<string>;
  /** Called for each, but for those of multicasts and broadcasts. */
  readonly onBlock?: (block: Block) => void;
  /** Of flows that may begin. */
  readonly verdicts?: AllowedVerdicts | undefined;
}

const GATEWAY: Gateway = { kind: 'gateway' };
const NO_REDIRECTION: GateDenial = {
  ...{ why: 'program', text: 'what comes by a multiplexer cannot be redirected' },
};
const DNS_PORT = 53;
const LOOPBACKS = ['127.0.0.1', '::1'] as const;
const LOOPBACKS_OF_6 = ['::1', '127.0.0.1'] as const;

export class Destinations {
  private readonly deps: DestinationsDeps;
  private readonly refusals: Refusals;
  private readonly policed: PolicedDestinations | undefined;
  private readonly proxied: ProxiedDestinations | undefined;

  constructor(deps: DestinationsDeps) {
    this.deps = deps;
    const { policy, proxies, verdicts } = deps;
    this.refusals = new Refusals(deps.refusals, deps.onBlock);
    this.policed = policy && new PolicedDestinations(policy, this.refusals, verdicts);
    this.proxied = proxies && new ProxiedDestinations(proxies, this.policed, this.refusals);
  }

  /** Whether a policy is in force. */
  get hasPolicy(): boolean {
    return this.policed?.engine !== undefined;
  }

  /** Whether frames go there, from guest to guest, and no flow of ours. */
  isNeighbor(words: Int32Array): boolean {
    return this.deps.addresses.isNeighbor(words);
  }

  /** The same decisions by another policy, of which nobody hears. */
  decidingBy(policy: GuestPolicy): Destinations {
    const { onBlock: _nobody, verdicts: _unheard, neighbors: _unlisted, ...deps } = this.deps;
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
    if (to.kind === 'refused' || to.kind === 'gateway') return to;
    const { gate, verdicts } = this.deps;
    if (gate === undefined ? verdicts?.isWanted() !== true : protocol === 'tcp') return to;
    const remote = addressFromWords(words, at);
    return to.kind === 'dns'
      ? this.confirmDns(owner, protocol, remote, port, to)
      : this.confirm(owner, protocol, remote, port, to);
  }

  private confirm(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: HostLoopback | Outside,
  ): Destination {
    const { gate } = this.deps;
    const confirmed =
      gate === undefined ? to : this.byGate(gate, owner, protocol, remote, port, to);
    if (confirmed.kind !== 'refused') this.onAllowed(owner, protocol, remote, port, to);
    return confirmed;
  }

  private confirmDns(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: OwnDnsDestination,
  ): Destination {
    const { gate } = this.deps;
    const refused = gate && this.serviceByGate(gate, owner, protocol, remote, port, to);
    if (refused === undefined) this.onRedirected(owner, protocol, remote, port, to);
    return refused ?? to;
  }

  /** As {@link onAllowed}, of a flow that our own DNS takes. */
  onRedirected(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    { verdict }: OwnDnsDestination,
  ): void {
    const to = { owner, protocol, place: 'gateway', remote, port, rule: verdict.rule } as const;
    this.deps.verdicts?.onAllowed(to);
  }

  /** A flow may begin: of TCP where there is a gate, when that has said so. */
  onAllowed(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: HostLoopback | Outside,
  ): void {
    const { verdicts } = this.deps;
    if (verdicts?.isWanted() !== true) return;
    const isObserved = this.policed?.engine !== undefined && to.verdict === undefined;
    if (isObserved) return;
    const place = this.placeOf(protocol, remote, port, to);
    verdicts.onAllowed({ owner, protocol, place, remote, port, rule: to.verdict?.rule });
  }

  /** The gate has denied a flow. */
  refuseByGate(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    denial: GateDenial,
  ): RefusedDestination {
    return this.refusals.addGate(owner, protocol, remote, port, denial);
  }

  /** As rules of a policy call where a flow leads. */
  placeOf(
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: HostLoopback | Outside,
  ): PolicyPlace | undefined {
    return this.policed?.placeOf(protocol, remote, port, to);
  }

  private byGate(
    gate: FlowGate,
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: HostLoopback | Outside,
  ): HostLoopback | Outside | RefusedDestination {
    const place = this.placeOf(protocol, remote, port, to);
    const answer = gate.askNow({
      owner,
      protocol,
      remote,
      remotePort: port,
      rule: to.verdict?.rule,
      place,
      guest: undefined,
      guestPort: undefined,
    });
    if (answer === undefined) return to;
    if ('why' in answer) return this.refuseByGate(owner, protocol, remote, port, answer);
    if (protocol === 'udp') return redirected(to, answer);
    const text = `${protocol} cannot be redirected`;
    return this.refuseByGate(owner, protocol, remote, port, { why: 'program', text });
  }

  private destinationOf(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
  ): Destination {
    const kind = this.deps.addresses.kindOf(words, at);
    if (kind === 'gateway' && port === DNS_PORT) return GATEWAY;
    if (kind === 'gateway') return this.byPolicy(owner, protocol, words, at, port, GATEWAY);
    if (kind === 'subnet') return this.refuseNeighbor(owner, protocol, words, at, port);
    if (kind !== 'outside' && kind !== 'host-loopback') {
      return this.refusals.addAddress(owner, protocol, words, at, port, kind);
    }
    const remote = addressFromWords(words, at);
    const to =
      kind === 'outside' ? this.outsideOf(remote) : this.hostOf(protocol, remote.family, port);
    if (to === undefined) {
      const why = kind === 'outside' ? 'not-global' : 'host';
      return this.refusals.addAddress(owner, protocol, words, at, port, why);
    }
    if (this.isOwn(protocol, to.address, port)) {
      return this.refusals.addAddress(owner, protocol, words, at, port, 'own-listener');
    }
    const { isClosedHost } = this.deps;
    if (
      isClosedHost !== undefined &&
      reachesHost(isClosedHost, remote, to.address, this.deps.addresses.translation)
    ) {
      return this.refusals.addAddress(owner, protocol, words, at, port, 'host');
    }
    const policed = this.byPolicy(owner, protocol, words, at, port, to);
    if (this.proxied === undefined || policed.kind !== 'outside') return policed;
    return this.proxied.decide(owner, protocol, remote, port, policed);
  }

  /** Packets for another guest are no flows: that guest is on the sender's own link. */
  private refuseNeighbor(
    owner: Guest,
    protocol: DestinationProtocol,
    words: Int32Array,
    at: number,
    port: number,
  ): RefusedDestination {
    const { neighbors } = this.deps;
    const attempt = { protocol, port, words: words.slice(at, at + 4) };
    return neighbors?.onAttempt(owner, attempt) === true
      ? this.refusals.add(owner, protocol, 'policy', 'none')
      : this.refusals.addAddress(owner, protocol, words, at, port, 'subnet');
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
    if (!this.hasPolicy || port === DNS_PORT) return undefined;
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
    return this.serviceByGate(gate, owner, protocol, remote, port, undefined)?.answer;
  }

  private serviceByGate(
    gate: FlowGate,
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    dns: OwnDnsDestination | undefined,
  ): RefusedDestination | undefined {
    const rule = dns?.verdict.rule;
    const to = { owner, protocol, remote, remotePort: port, rule, place: 'gateway' } as const;
    const denial = gate.askService({ ...to, guest: undefined, guestPort: undefined });
    return denial && this.refuseByGate(owner, protocol, remote, port, denial);
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
    return this.policed?.decide(owner, protocol, words, at, port, to, link) ?? to;
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
    if (why !== undefined) this.refusals.addAddress(owner, protocol, words, 0, port, why);
    if (why !== undefined) return false;
    const text = address.toString();
    const to: HostLoopback | Outside =
      isLoopback6(address) || (address.family === 4 && address.d >>> 24 === 127)
        ? { kind: 'host-loopback', address: '127.0.0.1', twin: undefined }
        : { kind: 'outside', address: text, isTranslated: false };
    const decided = this.byPolicy(owner, protocol, words, 0, port, to, link);
    if (decided.kind !== 'host-loopback' && decided.kind !== 'outside') return false;
    const { gate } = this.deps;
    const confirmed =
      gate === undefined ? decided : this.byGate(gate, owner, protocol, address, port, decided);
    if (confirmed.kind === 'refused') return false;
    if (confirmed === decided) this.onAllowed(owner, protocol, address, port, decided);
    else this.refuseByGate(owner, protocol, address, port, NO_REDIRECTION);
    return confirmed === decided;
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

  private hostOf(
    protocol: DestinationProtocol,
    family: 4 | 6,
    port: number,
  ): HostLoopback | Outside | undefined {
    const target = this.deps.addresses.hostTarget(family);
    if (target === undefined) return this.loopbackOf(protocol, family, port);
    if (target === 'none') return undefined;
    return { kind: 'outside', address: target.toString(), isTranslated: true };
  }

  private loopbackOf(protocol: DestinationProtocol, family: 4 | 6, port: number): HostLoopback {
    const [address, other] = family === 4 ? LOOPBACKS : LOOPBACKS_OF_6;
    const twin = this.isOwn(protocol, other, port) ? undefined : other;
    return { kind: 'host-loopback', address, twin };
  }

  private isOwn(protocol: DestinationProtocol, address: string, port: number): boolean {
    return protocol === 'tcp' && this.deps.isOwnListener(address, port);
  }
}

const isLoopback6 = ({ a, b, c, d }: IpAddress): boolean =>
  a === 0 && b === 0 && c === 0 && d === 1;
