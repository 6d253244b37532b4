/** The running network as the control API sees it: every answer is computed on demand. */

import type { Counters } from '../base/counters.ts';
import type { Budget } from '../base/shares/budget.ts';
import type { Clock } from '../base/time.ts';
import type { EventsView } from '../control/events/network-events.ts';
import type { ServedView } from '../control/events/served-view.ts';
import type { FlowView } from '../control/flow-view.ts';
import type {
  BudgetView,
  ConflictsView,
  GuestView,
  HealthView,
  Ipv6View,
  LeaseView,
  MuxLinkView,
  NetworkInfoView,
  PortView,
  TrafficView,
} from '../control/network-view.ts';
import type { PolicyBook } from '../control/policy-view.ts';
import { portView } from '../control/ports/port-view.ts';
import type { DnsForwarder } from '../proxy/dns/forwarder.ts';
import type { EchoProxy } from '../proxy/icmp/echo-proxy.ts';
import type { PortTable } from '../proxy/ports/port-table.ts';
import type { Turns } from '../proxy/turns.ts';
import type { UdpNat } from '../proxy/udp/udp-nat.ts';
import type { NameRecords } from '../services/dns/name-records.ts';
import { domainText, upstreamText } from '../services/dns/upstream-text.ts';
import type { Stack } from '../stack/stack.ts';
import type { OpenLink } from '../transports/link-context.ts';
import { formatMac, type Mac } from '../wire/mac.ts';
import type { AddressConflicts } from './address-conflicts.ts';
import type { Ipv6Addresses } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import type { FlowViews } from './flow-views.ts';
import type { GuestLeases } from './guest-leases.ts';
import { separationMode } from './guest-separation.ts';
import { guestViews } from './guest-views.ts';
import { formatSubnet6 } from './ipv6-text.ts';
import type { LimitWatch } from './limit-watch.ts';
import type { MuxLinks } from './mux-links.ts';
import type { NativeCalls } from './native-calls.ts';
import type { UplinkState } from './uplink.ts';
import type { LiveProxy } from './upstream-proxy/live-proxy.ts';
import { fineMs } from './view-numbers.ts';

export interface ViewParts {
  readonly options: NetworkConfig;
  /** Undefined: guests have IPv4 only. */
  readonly ipv6: Ipv6Addresses | undefined;
  readonly uplink: () => UplinkState;
  readonly clock: Pick<Clock, 'now'>;
  readonly stack: Stack;
  readonly links: Iterable<OpenLink>;
  readonly flowBook: FlowViews;
  readonly policy: PolicyBook;
  readonly proxy: LiveProxy;
  readonly dnsRecords: NameRecords;
  readonly events: EventsView;
  readonly udp: UdpNat;
  readonly echo: EchoProxy;
  readonly ports: PortTable;
  readonly mux: MuxLinks;
  readonly dns: DnsForwarder;
  readonly leases: GuestLeases;
  readonly native: NativeCalls;
  readonly limitWatch: LimitWatch;
  readonly conflicts: AddressConflicts;
  /** Undefined: there is none. */
  readonly audit: { readonly problem: string | undefined } | undefined;
  readonly turns: Turns;
  readonly budgets: readonly Budget[];
  readonly groups: Readonly<Record<string, Pick<Counters<string>, 'snapshot'>>>;
}

export class LiveView implements ServedView {
  readonly flowBook: FlowViews;
  readonly policy: PolicyBook;
  readonly proxy: LiveProxy;
  readonly dnsRecords: NameRecords;
  readonly events: EventsView;
  private readonly parts: ViewParts;

  constructor(parts: ViewParts) {
    this.flowBook = parts.flowBook;
    this.policy = parts.policy;
    this.proxy = parts.proxy;
    this.dnsRecords = parts.dnsRecords;
    this.events = parts.events;
    this.parts = parts;
  }

  health(): HealthView {
    const { native, dns, stack, leases, conflicts, links, limitWatch, audit, clock, proxy } =
      this.parts;
    const problems: string[] = [];
    if (native.posix === undefined) {
      problems.push('Guests cannot ping: install the optional package koffi, on Linux.');
    }
    if (dns.upstreams.length === 0) {
      problems.push(
        'No DNS upstream: name a server, or give the resolver configuration a nameserver line.',
      );
    }
    problems.push(...leases.problems, ...conflicts.problems);
    const refused = limitWatch.problem(clock.now());
    if (refused !== undefined) problems.push(refused);
    if (audit?.problem !== undefined) problems.push(audit.problem);
    if (proxy.problem !== undefined) problems.push(proxy.problem);
    for (const { description, failure } of links) {
      if (failure !== undefined) problems.push(`The link ${description} has ended: ${failure}.`);
    }
    if (stack.tcp.pool.tight) {
      problems.push('Connection buffers are nearly spent: windows are small until some drain.');
    }
    return { status: problems.length === 0 ? 'ok' : 'degraded', problems };
  }

  info(): NetworkInfoView {
    const { options, stack, links, dns, turns } = this.parts;
    return {
      subnet: options.subnet,
      gateway: options.gateway,
      hostIp: options.hostIp ?? null,
      ipv6: this.ipv6(),
      gatewayMac: formatMac(stack.config.mac),
      mtu: options.mtu,
      separation: separationMode(options.separation),
      links: Array.from(links, ({ description, stats }) => ({
        link: description,
        attachedGuests: stats.linksOpen,
      })),
      longestTurnMs: fineMs(turns.longestMs),
      dnsUpstreams: dns.upstreams.map(upstreamText),
      dnsDomains: dns.domains.map(domainText),
      dnsSearch: options.dns.search ?? dns.search,
    };
  }

  private ipv6(): Ipv6View | null {
    const { ipv6, uplink } = this.parts;
    if (ipv6 === undefined) return null;
    const { hasRoute, hasNat64 } = uplink();
    return {
      subnet: formatSubnet6(ipv6.prefix),
      gateway: ipv6.gateway.toString(),
      hostIp: ipv6.host?.toString() ?? null,
      route: hasRoute,
      nat64: hasNat64,
    };
  }

  /** @param only of these Ethernet addresses; absent: all */
  guests(only?: ReadonlySet<Mac>): readonly GuestView[] {
    const { stack, leases, clock } = this.parts;
    return guestViews(clock.now(), stack, leases.list(), only);
  }

  conflicts(): ConflictsView {
    return this.parts.conflicts.view();
  }

  budgets(): readonly BudgetView[] {
    return [...this.parts.budgets, ...this.proxy.budgets].map(
      ({ name, whole, kept, host, guests }) => ({
        name,
        whole,
        kept,
        heldByHost: host.held,
        heldByGuests: guests.held,
        refused: guests.refused,
        evicted: guests.evicted,
      }),
    );
  }

  flows(): readonly FlowView[] {
    return [...this.flowBook.parts(0)].flat();
  }

  closeFlow(id: string): boolean {
    return this.flowBook.close(id);
  }

  leases(): readonly LeaseView[] {
    return this.parts.leases
      .list()
      .filter(({ state }) => state === 'bound' || state === 'reserved')
      .map((lease) => ({
        mac: lease.mac,
        address: lease.address,
        hostname: lease.hostname ?? null,
        static: lease.static,
        expiresAt: lease.static ? null : new Date(lease.expiresAtMs).toISOString(),
      }));
  }

  ports(): readonly PortView[] {
    return this.parts.ports.list().map(portView);
  }

  mux(): readonly MuxLinkView[] {
    return this.parts.mux.view();
  }

  traffic(): TrafficView {
    const total = { framesToHost: 0, framesToGuest: 0, bytesToHost: 0, bytesToGuest: 0 };
    for (const { stats } of this.parts.links) {
      total.framesToHost += stats.framesToHost;
      total.framesToGuest += stats.framesToGuest;
      total.bytesToHost += stats.bytesToHost;
      total.bytesToGuest += stats.bytesToGuest;
    }
    return total;
  }

  counters(): Readonly<Record<string, Readonly<Record<string, number>>>> {
    const { stack, groups, links, udp, echo, turns } = this.parts;
    const { tcp } = stack;
    const counters: Record<string, Readonly<Record<string, number>>> = {
      drops: stack.drops.snapshot(),
      turns: { postponed: turns.postponed },
      stack: {
        connections: tcp.connectionCount,
        requests: tcp.requestCount,
        'time-waits': tcp.timeWaitCount,
        accepted: tcp.accepted,
        dialed: tcp.dialed,
        'ring-bytes': tcp.pool.inUse,
        'udp-bindings': udp.size,
        'echo-sessions': echo.size,
        'icmp-errors-sent': stack.icmpErrors.sent,
      },
    };
    const linkDrops: Record<string, number> = {};
    for (const { stats } of links) {
      for (const [name, n] of Object.entries(stats.drops.snapshot())) {
        linkDrops[name] = (linkDrops[name] ?? 0) + n;
      }
    }
    counters['links'] = linkDrops;
    for (const [name, group] of Object.entries(groups)) counters[name] = group.snapshot();
    const proxied = this.proxy.counts;
    if (proxied !== undefined) counters['upstream-proxy'] = proxied.snapshot();
    const { relayed } = this.proxy;
    if (relayed !== undefined) counters['upstream-proxy-udp'] = relayed.snapshot();
    return counters;
  }
}
