/**
 * Everything that flows, in one list: connections, bindings of UDP, clients of published ports, pings, channels of the
 * multiplexer, connections to the gateway's services and to the embedding program.
 *
 * The book owns no flow and bounds none: each belongs to a table that does, is opened by it here and ended by it, and
 * says what it is when it is asked. So there are no counters but the owners', and a packet costs nothing. Opens and
 * ends are events, for which nothing is done while nobody listens; see `flow-feed.ts`.
 */
import { Chain } from '../../base/chain.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { Guest } from '../../stack/guest.ts';
import { Flow, type FlowProtocol, type FlowRecord, type FlowSource } from './flow.ts';
import { FlowFeed } from './flow-feed.ts';
import { GuestNames } from './guest-names.ts';

const NO_NAMES: readonly string[] = [];

export class FlowBook {
  readonly feed: FlowFeed = new FlowFeed();
  readonly names: GuestNames;
  /** Opened so far, and open. */
  readonly opened: Record<FlowProtocol, number> = { tcp: 0, udp: 0, icmp: 0, unix: 0 };
  readonly open: Record<FlowProtocol, number> = { tcp: 0, udp: 0, icmp: 0, unix: 0 };
  /** In the order of their ids. A chain rather than a map: see there. */
  private readonly flows = new Chain<Flow>();
  private readonly clock: Pick<Clock, 'now'>;
  private nextId = 1;

  constructor(clock: Pick<Clock, 'now'>, names: GuestNames = new GuestNames()) {
    this.clock = clock;
    this.names = names;
  }

  get size(): number {
    return this.flows.size;
  }

  /**
   * @param remote of a flow whose destination does not change
   * @param source may be described at once
   */
  add(
    protocol: FlowProtocol,
    owner: Guest | undefined,
    remote: IpAddress | undefined,
    source: FlowSource,
  ): Flow {
    const now = this.clock.now();
    const names = this.namesOf(now, owner, remote);
    const flow = new Flow(this.nextId++, protocol, owner, remote, now, source, names);
    this.names.use(owner, remote, 1);
    this.flows.add(flow);
    this.opened[protocol]++;
    this.open[protocol]++;
    if (this.feed.isFollowed) this.feed.add({ kind: 'opened', flow: this.record(flow) });
    return flow;
  }

  /**
   * Ends the second time do nothing.
   *
   * @param why `finished`, or what else has ended it: `reset-by-guest`, `expired`, `evicted`, a code of the system
   */
  end(flow: Flow | undefined, why: string): void {
    if (flow?.isOpen !== true) return;
    flow.isOpen = false;
    this.flows.delete(flow);
    this.open[flow.protocol]--;
    this.names.use(flow.owner, flow.remote, -1);
    if (this.feed.isFollowed) this.feed.add({ kind: 'ended', flow: this.record(flow), why });
  }

  /** End a flow at both ends. @returns false when none has this id */
  close(id: number, why = 'ended-by-request'): boolean {
    const flow = this.find(id);
    if (flow === undefined) return false;
    this.end(flow, why);
    flow.source.endFlow();
    return true;
  }

  find(id: number): Flow | undefined {
    const [flow] = this.after(id - 1, 1);
    return flow?.id === id ? flow : undefined;
  }

  /** The next `n` flows whose ids are above `id`. */
  after(id: number, n: number): readonly Flow[] {
    const found: Flow[] = [];
    for (const flow of this.flows) {
      if (flow.id <= id) continue;
      if (found.length >= n) break;
      found.push(flow);
    }
    return found;
  }

  /** How many flows have ids above `id`. */
  countAfter(id: number): number {
    let before = 0;
    for (const flow of this.flows) {
      if (flow.id > id) break;
      before++;
    }
    return this.flows.size - before;
  }

  record(flow: Flow): FlowRecord {
    const { id, protocol, owner, since } = flow;
    const facts = flow.source.describeFlow();
    const stated = facts.verdict?.stated;
    if (stated !== undefined) {
      return { id, protocol, owner, since, name: stated, evidence: 'sni', facts };
    }
    const asked =
      flow.names.length > 0
        ? flow.names
        : (facts.names ?? this.namesOf(this.clock.now(), owner, facts.remote.address));
    const name = asked.at(-1);
    const evidence = name === undefined ? undefined : asked.length > 1 ? 'inferred' : 'asked';
    return { id, protocol, owner, since, name, evidence, facts };
  }

  private namesOf(
    now: Instant,
    owner: Guest | undefined,
    remote: IpAddress | undefined,
  ): readonly string[] {
    return owner === undefined || remote === undefined
      ? NO_NAMES
      : this.names.all(now, owner, remote);
  }
}
