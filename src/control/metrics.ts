/**
 * Prometheus metrics, read from the network at the scrape: nothing is counted twice, and a
 * daemon that is not scraped pays nothing. No metric of prom-client's global registry is used.
 */
import { performance } from 'node:perf_hooks';
import { Counter, Gauge, Registry } from 'prom-client';
import { arenaInUse } from '../base/arena.ts';
import type { NetworkView } from './network-view.ts';

/** A counter whose value is kept elsewhere. */
class MirrorCounter<L extends string> {
  private readonly counter: Counter<L>;

  constructor(registry: Registry, name: string, help: string, labelNames: L[]) {
    this.counter = new Counter({ name, help, labelNames, registers: [registry] });
  }

  clear(): void {
    this.counter.reset();
  }

  set(labels: Partial<Record<L, string>>, value: number): void {
    this.counter.inc(labels, value);
  }
}

const loopTurn = (): Promise<number> => {
  const start = performance.now();
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(() => resolve((performance.now() - start) / 1_000)));
  });
};

export class Metrics {
  private readonly registry = new Registry();
  private readonly view: NetworkView;
  private readonly frames: MirrorCounter<'direction'>;
  private readonly bytes: MirrorCounter<'direction'>;
  private readonly drops: MirrorCounter<'reason'>;
  private readonly events: MirrorCounter<'group' | 'name'>;
  private readonly cpu: MirrorCounter<'mode'>;
  private readonly opened: MirrorCounter<'protocol'>;
  private readonly flows: Gauge<'protocol'>;
  private readonly whole: Gauge<'budget'>;
  private readonly held: Gauge<'budget'>;
  private readonly short: MirrorCounter<'budget' | 'outcome'>;
  private readonly guests: Gauge;
  private readonly leases: Gauge;
  private readonly ports: Gauge;
  private readonly lag: Gauge;
  private readonly longestTurn: Gauge;
  private readonly utilization: Gauge;
  private readonly rss: Gauge;
  private readonly heap: Gauge;
  private readonly arena: Gauge;
  private readonly uptime: Gauge;
  private readonly route6: Gauge;
  private readonly nat64: Gauge;
  private lastUtilization = performance.eventLoopUtilization();

  constructor(view: NetworkView, name: string, version: string) {
    this.view = view;
    const { registry } = this;
    const counter = <L extends string>(metric: string, help: string, labels: L[]) =>
      new MirrorCounter<L>(registry, metric, help, labels);
    const gauge = (metric: string, help: string): Gauge =>
      new Gauge({ name: metric, help, registers: [registry] });
    this.frames = counter('hawser_link_frames_total', 'Ethernet frames.', ['direction']);
    this.bytes = counter('hawser_link_bytes_total', 'Bytes of Ethernet frames.', ['direction']);
    this.drops = counter('hawser_drops_total', 'Frames and packets dropped.', ['reason']);
    this.events = counter('hawser_events_total', 'Rare events, by owner.', ['group', 'name']);
    this.cpu = counter('hawser_cpu_seconds_total', 'CPU time of the daemon.', ['mode']);
    this.opened = counter('hawser_flows_opened_total', 'Flows since the start.', ['protocol']);
    this.flows = new Gauge({
      name: 'hawser_flows',
      help: 'Flows that are open.',
      labelNames: ['protocol'],
      registers: [registry],
    });
    const ofBudget = (metric: string, help: string): Gauge<'budget'> =>
      new Gauge({ name: metric, help, labelNames: ['budget'], registers: [registry] });
    this.whole = ofBudget('hawser_budget_whole', 'What guests and the host share.');
    this.held = ofBudget('hawser_budget_held', 'Of which so much is in use.');
    this.short = counter('hawser_budget_short_total', 'Times that a budget ran short.', [
      'budget',
      'outcome',
    ]);
    this.guests = gauge('hawser_guests_attached', 'Guests that have a link.');
    this.leases = gauge('hawser_leases', 'DHCP leases.');
    this.ports = gauge('hawser_published_ports', 'Published ports.');
    this.lag = gauge('hawser_event_loop_lag_seconds', 'One turn of the event loop, at the scrape.');
    this.longestTurn = gauge(
      'hawser_turn_seconds_max',
      "The longest that guests' traffic has kept the event loop in one turn, since the start.",
    );
    this.utilization = gauge(
      'hawser_event_loop_utilization_ratio',
      'Share of the time since the last scrape that the event loop was busy.',
    );
    this.rss = gauge('hawser_resident_memory_bytes', 'Resident memory of the daemon.');
    this.heap = gauge('hawser_heap_used_bytes', 'JavaScript heap in use.');
    this.arena = gauge(
      'hawser_arena_in_use_bytes',
      'Memory of rings and of slabs of packets in use.',
    );
    this.route6 = gauge('hawser_ipv6_route', 'Whether guests have a default route of IPv6.');
    this.nat64 = gauge('hawser_nat64', 'Whether guests reach IPv4 by NAT64.');
    this.uptime = gauge('hawser_uptime_seconds', 'Time since the daemon started.');
    new Gauge({
      name: 'hawser_info',
      help: 'Always 1; the labels say what runs.',
      labelNames: ['name', 'version'],
      registers: [registry],
    }).set({ name, version }, 1);
  }

  async text(): Promise<string> {
    this.lag.set(await loopTurn());
    const now = performance.eventLoopUtilization();
    this.utilization.set(performance.eventLoopUtilization(now, this.lastUtilization).utilization);
    this.lastUtilization = now;
    this.collectNetwork();
    const { rss, heapUsed } = process.memoryUsage();
    this.rss.set(rss);
    this.heap.set(heapUsed);
    this.arena.set(arenaInUse());
    this.uptime.set(process.uptime());
    const { ipv6 } = this.view.info();
    this.route6.set(ipv6?.route === true ? 1 : 0);
    this.nat64.set(ipv6?.nat64 === true ? 1 : 0);
    const { user, system } = process.cpuUsage();
    this.cpu.clear();
    this.cpu.set({ mode: 'user' }, user / 1e6);
    this.cpu.set({ mode: 'system' }, system / 1e6);
    return this.registry.metrics();
  }

  private collectNetwork(): void {
    this.longestTurn.set(this.view.info().longestTurnMs / 1_000);
    const traffic = this.view.traffic();
    this.frames.clear();
    this.frames.set({ direction: 'to_host' }, traffic.framesToHost);
    this.frames.set({ direction: 'to_guest' }, traffic.framesToGuest);
    this.bytes.clear();
    this.bytes.set({ direction: 'to_host' }, traffic.bytesToHost);
    this.bytes.set({ direction: 'to_guest' }, traffic.bytesToGuest);

    this.drops.clear();
    this.events.clear();
    for (const [group, counts] of Object.entries(this.view.counters())) {
      for (const [name, value] of Object.entries(counts)) {
        if (group === 'drops') this.drops.set({ reason: name }, value);
        else this.events.set({ group, name }, value);
      }
    }

    this.short.clear();
    for (const { name: budget, ...one } of this.view.budgets()) {
      this.whole.set({ budget }, one.whole);
      this.held.set({ budget }, one.heldByHost + one.heldByGuests);
      this.short.set({ budget, outcome: 'refused' }, one.refused);
      this.short.set({ budget, outcome: 'evicted' }, one.evicted);
    }

    this.opened.clear();
    for (const { protocol, open, opened } of this.view.flowBook.counts()) {
      this.flows.set({ protocol }, open);
      this.opened.set({ protocol }, opened);
    }
    this.guests.set(this.view.guests().filter(({ link }) => link !== null).length);
    this.leases.set(this.view.leases().length);
    this.ports.set(this.view.ports().length);
  }
}
