/** A network that only answers questions, for tests of the API and the daemon around it. */

import type { DaemonConfig } from '../../src/cli/daemon-config.ts';
import { EventRing } from '../../src/control/events/event-ring.ts';
import type { ServedView } from '../../src/control/events/served-view.ts';
import type { FlowCount, FlowFeedEvent, FlowsView, FlowView } from '../../src/control/flow-view.ts';
import {
  type ApprovalScope,
  type PolicyBook,
  PolicyConflict,
  type PolicyDenialView,
  PolicyError,
  type PolicyProbe,
  type PolicyStateView,
  type PolicySuggestionView,
  type PolicyVerdictView,
} from '../../src/control/policy-view.ts';
import { portView } from '../../src/control/ports/port-view.ts';
import { type ProxyBook, ProxyError, type ProxyStateView } from '../../src/control/proxy-view.ts';
import type { DnsZone } from '../../src/network/config.ts';
import type { DaemonNetwork } from '../../src/network/daemon-network.ts';
import type { PortTable } from '../../src/proxy/ports/port-table.ts';
import { NameRecords } from '../../src/services/dns/name-records.ts';
import { ZoneTable } from '../../src/services/dns/zone-table.ts';
import { DEFAULT_NETWORK } from '../network/default-config.ts';
import { portTable } from '../proxy/ports/port-fixture.ts';

export const TCP_FLOW: FlowView = {
  id: '1',
  protocol: 'tcp',
  openedBy: 'guest',
  via: 'net',
  service: null,
  publication: null,
  guestId: 3,
  guestName: 'build',
  guestAddress: '192.168.127.2',
  guestPort: 40_000,
  guestPath: null,
  remoteAddress: '203.0.113.5',
  dialledAddress: null,
  proxy: null,
  remotePort: 443,
  remotePath: null,
  name: 'www.example.com',
  evidence: 'asked',
  rule: null,
  state: 'established',
  bytesToHost: 10,
  bytesToGuest: 2_048,
  packetsToHost: null,
  packetsToGuest: null,
  ageMs: 61_000,
  idleMs: 5,
  tcp: { srttMs: 0.4, cwndBytes: 14_600, retransmits: 1, bufferedToHost: 0, bufferedToGuest: 0 },
};

export const UDP_FLOW: FlowView = {
  ...TCP_FLOW,
  id: '2',
  protocol: 'udp',
  openedBy: 'host',
  publication: '7',
  guestId: 4,
  guestName: null,
  guestAddress: '192.168.127.3',
  name: null,
  packetsToHost: 2,
  packetsToGuest: 3,
  state: 'active',
  tcp: null,
};

/** Takes every document. */
export class FakePolicy implements PolicyBook {
  private generation = 0;
  private document: Readonly<Record<string, unknown>> | null = null;
  denied: readonly PolicyDenialView[] = [];

  state(): PolicyStateView {
    const { generation, document } = this;
    return { generation, hash: `hash ${generation}`, document, warnings: [] };
  }

  async replace(
    document: unknown,
    isExpected: (now: PolicyStateView) => boolean = () => true,
  ): Promise<PolicyStateView> {
    if (!isExpected(this.state())) throw new PolicyConflict('another');
    if (typeof document !== 'object' || document === null || 'bad' in document) {
      throw new PolicyError('rules[0]: must be good');
    }
    this.document = { ...document };
    this.generation++;
    return this.state();
  }

  async replaceText(
    text: string,
    isExpected?: (now: PolicyStateView) => boolean,
  ): Promise<PolicyStateView> {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value)) throw new PolicyError('must be a document');
    return await this.replace(value, isExpected);
  }

  clear(isExpected: (now: PolicyStateView) => boolean = () => true): PolicyStateView {
    if (!isExpected(this.state())) throw new PolicyConflict('another');
    this.document = null;
    this.generation++;
    return this.state();
  }

  test({ guest, destination, protocol }: PolicyProbe): PolicyVerdictView {
    const action = destination === 'a.test:443' ? 'allow' : 'deny';
    return {
      action,
      rule: `${guest} ${protocol}`,
      index: 0,
      bestEffort: destination === 'b.test:1',
      observed: false,
      inspected: action === 'allow',
    };
  }

  denials(): readonly PolicyDenialView[] {
    return this.denied;
  }

  async approve(id: string, scope: ApprovalScope): Promise<PolicyStateView> {
    if (this.denied.every((one) => one.id !== id)) throw new PolicyError(`no denial ${id}`);
    return await this.replace({
      default: 'deny',
      rules: [{ allow: { name: 'a.test', ...scope } }],
    });
  }

  suggest(guest: string): PolicySuggestionView {
    return { document: { default: 'deny', rules: [{ allow: { name: 'a.test', guest } }] } };
  }
}

/** A book of two flows. */
class FakeFlows implements FlowsView {
  flows: readonly FlowView[] = [TCP_FLOW, UDP_FLOW];
  readonly closed: string[] = [];
  readonly listeners: Set<(event: FlowFeedEvent) => void> = new Set();

  *parts(after: number): Generator<readonly FlowView[], void> {
    for (const flow of this.flows) if (Number(flow.id) > after) yield [flow];
  }

  countAfter(id: number): number {
    return this.flows.filter((flow) => Number(flow.id) > id).length;
  }

  find(id: string): FlowView | undefined {
    return this.flows.find((flow) => flow.id === id);
  }

  close(id: string): boolean {
    if (this.find(id) === undefined) return false;
    this.closed.push(id);
    return true;
  }

  counts(): readonly FlowCount[] {
    return [
      { protocol: 'tcp', open: 1, opened: 5 },
      { protocol: 'udp', open: 1, opened: 1 },
    ];
  }

  follow(listener: (event: FlowFeedEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  emit(event: FlowFeedEvent): void {
    for (const listener of this.listeners) listener(event);
  }
}

class FakeProxy implements ProxyBook {
  document: Readonly<Record<string, unknown>> | null = null;

  state(): ProxyStateView {
    return { generation: this.document === null ? 0 : 1, document: this.document };
  }

  replace(document: unknown): Promise<ProxyStateView> {
    const given = { ...(document as Record<string, unknown>) };
    if ('bad' in given) return Promise.reject(new ProxyError('bad: is not known'));
    this.document = given;
    return Promise.resolve(this.state());
  }
}

export class FakeNetwork implements DaemonNetwork {
  readonly view: ServedView;
  /** Listens on real sockets; there is no guest behind it. */
  readonly ports: PortTable = portTable();
  readonly flows: FakeFlows = new FakeFlows();
  readonly policy: FakePolicy = new FakePolicy();
  readonly proxy: FakeProxy = new FakeProxy();
  readonly dnsRecords: NameRecords = new NameRecords();
  readonly events: EventRing = new EventRing('test', () => Date.parse('2026-11-28T02:00:00Z'), 100);
  readonly recordZones: ZoneTable = new ZoneTable();
  readonly denied: string[] = [];
  zones: readonly DnsZone[] = [];
  isClosed = false;
  lastGuestGone: () => void = () => {};

  constructor(links: readonly string[] = ['qemu:/run/x.sock']) {
    this.view = {
      health: () => ({ status: 'ok', problems: [] }),
      info: () => ({
        subnet: '192.168.127.0/24',
        gateway: '192.168.127.1',
        hostIp: '192.168.127.254',
        ipv6: {
          subnet: 'fd12:3456::/64',
          gateway: 'fd12:3456::1',
          hostIp: 'fd12:3456::254',
          route: true,
          nat64: false,
        },
        gatewayMac: '5a:94:ef:e4:0c:dd',
        mtu: 1_500,
        separation: 'separate',
        links: links.map((link) => ({ link, attachedGuests: 1 })),
        longestTurnMs: 1.5,
        dnsUpstreams: ['9.9.9.9#53'],
        dnsDomains: ['corp.example=10.1.2.3#53'],
        dnsSearch: [],
      }),
      budgets: () => [
        {
          name: 'sockets',
          whole: 100,
          kept: 10,
          heldByHost: 1,
          heldByGuests: 2,
          refused: 3,
          evicted: 4,
        },
      ],
      guests: () => [
        {
          mac: '52:54:00:12:34:56',
          addresses: ['192.168.127.2'],
          hostname: 'build\u001b[31m',
          link: 'qemu:/run/x.sock#1',
          id: 1,
          attachedMs: 100,
          knownMs: 100,
          shares: { sockets: { held: 2, refused: 0, evicted: 0 } },
          framesToHost: 1,
          framesToGuest: 2,
          bytesToHost: 3,
          bytesToGuest: 4,
          framesRefused: 0,
          blocked: {},
        },
      ],
      flows: () => this.flows.flows,
      flowBook: this.flows,
      policy: this.policy,
      proxy: this.proxy,
      dnsRecords: this.dnsRecords,
      events: {
        read: (lastId) => this.events.read(lastId),
        kept: (lastId) => this.events.kept(lastId),
      },
      mux: () => [],
      conflicts: () => ({ conflicts: [], unlisted: 0 }),
      closeFlow: (id) => this.flows.close(id),
      leases: () => [
        {
          mac: '52:54:00:12:34:56',
          address: '192.168.127.2',
          hostname: null,
          static: false,
          expiresAt: '2030-01-01T00:00:00.000Z',
        },
      ],
      ports: () => this.ports.list().map(portView),
      traffic: () => ({ framesToHost: 7, framesToGuest: 8, bytesToHost: 700, bytesToGuest: 800 }),
      counters: () => ({ drops: { 'udp-bad-checksum': 3 }, tcp: { 'syn-queue-full': 2 } }),
    };
  }

  attachConnection(): never {
    throw new Error('there is no guest behind it');
  }

  onLastGuestGone(callback: () => void): void {
    this.lastGuestGone = callback;
  }

  denyGuests(address: string, port: number): void {
    this.denied.push(`${address} ${port}`);
  }

  denyProcess(): void {
    this.denied.push('process');
  }

  forwardGateway(): readonly [] {
    return [];
  }
  leadHostTo(): Promise<void> {
    return Promise.resolve();
  }
  observeFrames(): void {}
  tunnelFlows(): Promise<readonly []> {
    return Promise.resolve([]);
  }
  reopenAudit(): void {}

  reloadNames(zones: readonly DnsZone[]): readonly string[] {
    this.zones = zones;
    return [];
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.ports.close();
    return Promise.resolve();
  }
}

/** Options whose sockets are in `dir`. */
export const optionsIn = (dir: string, more: Partial<DaemonConfig> = {}): DaemonConfig => ({
  ...DEFAULT_NETWORK,
  name: 'test',
  listen: [`qemu:${dir}/qemu.sock`],
  guestApi: { enabled: false, bind: [] },
  api: { kind: 'unix', path: `${dir}/api.sock` },
  pidFile: `${dir}/hawser.pid`,
  readyFd: undefined,
  exitWithGuest: false,
  guestTimeoutS: 0,
  exitWithParent: false,
  exitWithReadyFd: false,
  user: undefined,
  sandbox: 'off',
  sandboxAllow: [],
  log: { level: 'info', format: 'json', file: undefined },
  ...more,
});
