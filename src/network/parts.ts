/** Makes every object of a running network and passes each its dependencies; and ends them in order. */
import { FaultWatch } from '../base/faults.ts';
import type { IpAddress } from '../base/ip-address.ts';
import { LimitedLog } from '../base/limited-log.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { GuestApi } from '../control/ports/guest-api.ts';
import type { DnsForwarder } from '../proxy/dns/forwarder.ts';
import type { ProxiedNames } from '../proxy/dns/proxied-names.ts';
import type { Block } from '../proxy/flows/destination.ts';
import type { HostReach } from '../proxy/host-reach.ts';
import { LeaseFile } from '../proxy/lease-file.ts';
import { OwnListeners } from '../proxy/own-listeners.ts';
import { DnsPolicy } from '../proxy/policy/dns-policy.ts';
import type { PortTable } from '../proxy/ports/port-table.ts';
import { SlicedWork } from '../proxy/sliced-work.ts';
import type { SshForwards } from '../proxy/ssh/ssh-forwards.ts';
import { parseAddress } from '../services/address-text.ts';
import type { LeaseKeeper } from '../services/dhcp/lease.ts';
import type { LocalNames } from '../services/dns/local-names.ts';
import type { Guest } from '../stack/guest.ts';
import type { LinkPort } from '../stack/link-port.ts';
import type { Stack } from '../stack/stack.ts';
import { PcapFile } from '../transports/capture/pcap-file.ts';
import { NodeClock } from '../transports/node-clock.ts';
import { macOf } from '../wire/mac.ts';
import { AddressConflicts } from './address-conflicts.ts';
import { addressesOf, networksOf, requiredAddress } from './addresses.ts';
import { type AuditLog, openAuditLog } from './audit/audit-log.ts';
import type { NetworkConfig } from './config.ts';
import { countGroups } from './count-groups.ts';
import { DataPath } from './data-path.ts';
import { dnsQueryView } from './dns-events.ts';
import type { EventHub } from './event-hub.ts';
import { GuestWatch } from './events.ts';
import { emitFlowEvents } from './flow-events.ts';
import { FlowViews } from './flow-views.ts';
import { gatewayAddresses } from './gateway.ts';
import { dhcpSegment, makeDhcpServer, serveDhcp } from './gateway-dhcp.ts';
import { makeDhcpv6Server, serveDhcpv6 } from './gateway-dhcpv6.ts';
import { GatewayForwards } from './gateway-forwards.ts';
import { serveGuestApi } from './gateway-guest-api.ts';
import { makeDns, makeLocalNames, serveDns } from './gateway-names.ts';
import { serveNtp } from './gateway-ntp.ts';
import { GuestDirectory } from './guest-directory.ts';
import { GuestLeases } from './guest-leases.ts';
import { GuestStreams } from './guest-streams.ts';
import { Guests } from './guests.ts';
import type { NetworkHooks } from './hooks/hooks.ts';
import { type Asking, makeDnsHook, makeGate } from './hooks/make-gate.ts';
import type { ProgramGate } from './hooks/program-gate.ts';
import { Ipv6Service } from './ipv6-service.ts';
import { keptAddresses } from './kept-addresses.ts';
import { KeptNames } from './kept-names.ts';
import { LeaseWatch } from './lease-watch.ts';
import { Links } from './links.ts';
import { LiveView } from './live-view.ts';
import { makeMux } from './make-mux.ts';
import { makePorts } from './make-ports.ts';
import type { MuxLinks } from './mux-links.ts';
import { noteEvents, noteIpv6, noteRefused } from './notes.ts';
import { LivePolicy } from './policy/live-policy.ts';
import { PolicyNames } from './policy/policy-names.ts';
import { PolicyProber } from './policy/policy-prober.ts';
import { type StartPolicy, surroundingsOf } from './policy/start-policy.ts';
import { makeSshForwards } from './ssh.ts';
import { LiveProxy, type StartProxy } from './upstream-proxy/live-proxy.ts';

/** What the options name, read. */
export interface NetworkStart {
  readonly policy: StartPolicy;
  readonly proxy: StartProxy | undefined;
}

export interface NetworkPartsDeps {
  readonly config: NetworkConfig;
  readonly start: NetworkStart;
  readonly log: Log;
  readonly reach: HostReach;
  readonly hub: EventHub;
  readonly hooks: NetworkHooks;
  onLastGuestGone(): void;
}

export class NetworkParts {
  readonly view: LiveView;
  readonly ports: PortTable;
  readonly log: Log;
  readonly dataPath: DataPath;
  readonly links: Links;
  readonly streams: GuestStreams;
  readonly mux: MuxLinks;
  readonly names: LocalNames;
  readonly policy: LivePolicy;
  readonly proxy: LiveProxy;
  readonly dns: DnsForwarder;
  readonly audit: AuditLog | undefined;
  readonly ownListeners: OwnListeners = new OwnListeners();
  readonly forwards: GatewayForwards;
  private readonly faults: FaultWatch;
  private readonly clock: Clock = new NodeClock();
  private readonly hub: EventHub;
  private readonly onLastGuestGone: () => void;
  private readonly guestWatch: GuestWatch;
  private readonly leaseWatches: LeaseWatch[] = [];
  private readonly ssh: SshForwards;
  private readonly ipv6: Ipv6Service;
  private readonly leaseFile: LeaseFile | undefined;
  private readonly keptNames: KeptNames;
  private readonly guestApi: GuestApi | undefined;
  private readonly capture: PcapFile | undefined;
  /** Undefined where nobody has to be asked about flows. */
  private readonly gate: ProgramGate | undefined;
  private linkCount = 0;

  constructor(deps: NetworkPartsDeps) {
    const { config, start, log: unlimited, reach, hub, hooks, onLastGuestGone } = deps;
    this.hub = hub;
    this.onLastGuestGone = onLastGuestGone;
    const { clock, ownListeners } = this;
    const log = new LimitedLog(unlimited, clock);
    this.log = log;
    this.audit = openAuditLog(config.audit, hub, log);
    this.faults = new FaultWatch(log);
    const addresses = addressesOf(config, reach.now.source6);
    const { gateway } = addresses;
    this.guestWatch = new GuestWatch(
      {
        forEachAttached: (visit) => this.dataPath.stack.stations.forEachAttached(visit),
        viewsOf: (macs) => this.view.guests(macs),
      },
      hub,
    );
    const { file } = config.leases;
    this.leaseFile = file === undefined ? undefined : new LeaseFile(file, log);
    const watched = (store: LeaseKeeper | undefined): LeaseWatch => {
      const watch = new LeaseWatch({ view: () => this.view, emitter: hub, store, clock });
      this.leaseWatches.push(watch);
      return watch;
    };
    const ofStack = (): Stack => this.dataPath.stack;
    const segment = dhcpSegment(log, clock, ofStack);
    const dhcp = makeDhcpServer(config, addresses, watched(this.leaseFile?.ipv4), segment);
    const store6 = watched(this.leaseFile?.ipv6);
    const dhcp6 = makeDhcpv6Server(config, addresses, store6, log, clock, ofStack);
    const leases = new GuestLeases(dhcp, dhcp6, clock);
    const directory = new GuestDirectory({
      forEachPlace: (visit) => this.dataPath.stack.stations.forEachNeighbor(visit),
      forEachClaim: (mac, visit) => this.dataPath.stack.stations.forEachClaim(mac, visit),
      userAt: (address) => this.dataPath.stack.stations.userOf(clock.now(), address)?.mac ?? 0,
      firstClaimant: (prefix) => this.dataPath.stack.stations.firstClaimant(prefix),
      prefix6: addresses.ipv6?.prefix,
      guestOf: (mac) => this.dataPath.stack.stations.guestOf(mac),
      placeAt: (address) => this.dataPath.stack.stations.neighborAt(address),
      leases: () => leases.list(),
      holderAt: (address) => leases.holderAt(address),
      staticLeases: config.leases.static,
      log,
    });
    const conflicts = new AddressConflicts({
      stations: () => this.dataPath.stack.stations,
      leases: () => leases.list(),
      clock,
      onConflict: (event) => hub.emit('conflict', event),
    });
    const guests = new Guests({
      stack: () => this.dataPath.stack,
      directory,
      gateway,
      gateway6: addresses.ipv6?.gateway,
      clock,
    });
    const policyNames = new PolicyNames(config.leases.static);
    noteIpv6(config, addresses, log);
    noteEvents(hub, log);
    const onNameDenied = (denied: Pick<Block, 'owner' | 'name' | 'why' | 'rule' | 'isObserved'>) =>
      this.dataPath.onBlock({ ...denied, protocol: 'dns', remote: undefined, port: 0 });
    const asking: Asking = {
      ...{ hooks, audit: this.audit, clock, log },
      ourselves: () => this.dataPath.stack.guests.nobody,
      whoIs: (owner) => this.view.flowBook.whoIs(owner),
      verdictOf: ({ remotePort: port, ...attempt }) => {
        const allowed = this.dataPath.verdicts.recordOf({ ...attempt, port });
        return this.view.flowBook.verdictOf(allowed);
      },
      nameOf: ({ owner, remote }) => this.dataPath.book.names.find(clock.now(), owner, remote),
      onNameDenied: (owner, name, rule) => onNameDenied({ owner, name, why: 'program', rule }),
    };
    this.gate = makeGate(asking);
    this.dataPath = new DataPath({
      config,
      addresses,
      ownListeners,
      clock,
      log,
      onGuestHeard: (address, mac) => {
        const { port, guest } = this.dataPath.stack.stations.neighborAt(address) ?? {};
        if (guest !== undefined) this.keptNames.onHeard(guest, mac);
        if (port !== undefined) leases.onHeard(address, mac, port.id);
        directory.onGuestHeard(mac, address.family === 4);
        this.guestWatch.changed();
      },
      policyNamesOf: policyNames.of,
      isPublished: (protocol, port) => this.ports.publishes(protocol, port),
      isGivenName: (name, address) =>
        this.names.addressesOf(name)?.some((one) => one.equals(address)) === true,
      beforeGuestForgotten: (owner) => this.keptNames.onGone(owner),
      onGuestGone: (owner) => {
        this.ports.endGuest(owner);
        this.proxy.forget(owner);
      },
      gate: this.gate,
      carried: () => this.links.carried,
      events: {
        onLinkCount: (links) => this.onLinkCount(links),
        onLinkDown: (now, link) => leases.onLinkDown(link, now),
        onRefused: (port, reason) => noteRefused(port, reason, log),
        onConflict: (port, claim) => conflicts.onBegun(port, claim),
        onAttempt: ({ guest }, attempt) => this.dataPath.neighbors.onAttempt(guest, attempt),
      },
    });
    const { stack, flusher, listeners, addressMap, destinations, book, native, turns } =
      this.dataPath;
    this.keptNames = new KeptNames({
      ...{ names: book.names, clock, log, linkOf: policyNames.linkOf },
      file: file === undefined ? undefined : `${file}.names`,
    });
    const { mtu, keepaliveS, socketMode, vhostMemory, wsOrigins } = config;
    const { pcapFile } = config;
    this.capture = pcapFile === undefined ? undefined : new PcapFile(pcapFile, clock.now(), log);
    const context = {
      acceptor: stack,
      clock,
      log,
      turns,
      mtu,
      keepaliveS,
      socketMode,
      vhostMemory,
      addresses: keptAddresses(dhcp, clock),
      vpnkitMacs: new Map(config.vpnkitMacs.map(({ uuid, mac }) => [uuid, macOf(mac)])),
      wsOrigins,
    };
    this.links = new Links({ context, ownListeners, log, ours: addresses.mac });
    if (this.capture !== undefined) this.links.observe(this.capture);
    this.streams = new GuestStreams({
      stack,
      guests,
      listeners,
      addressMap,
      book,
      gateway,
      context: { clock, flusher },
    });
    this.mux = makeMux({
      ...{ config, dataPath: this.dataPath, guests, directory, clock, log, hub },
      guestApi: () => this.guestApi,
      onAgentGone: (link) => this.ports.endAgent(link),
    });
    this.ssh = makeSshForwards({ streams: this.streams, stack, book, clock, log });
    this.ports = makePorts({
      ...{ config, dataPath: this.dataPath, mux: this.mux, ssh: this.ssh, gate: this.gate },
      ...{ guests: directory, ownListeners, clock, hub },
    });
    const networks = networksOf(addresses);
    this.names = makeLocalNames(config, addresses, networks, directory);
    this.ipv6 = new Ipv6Service({
      ...{ config, addresses, networks, reach, dhcp, clock, log },
      dataPath: this.dataPath,
      find: (query, found) => this.dns.find(query, 'udp', stack.guests.nobody, found),
    });
    const { sockets } = this.dataPath;
    const dnsProxied: { current: ProxiedNames | undefined } = { current: undefined };
    const policy = new DnsPolicy({
      policy: this.dataPath.policy,
      addresses: addressMap,
      ourselves: stack.guests.nobody,
      onDenied: (owner, name, rule, isObserved) =>
        onNameDenied({ owner, name, why: 'policy', rule, isObserved }),
    });
    this.dns = makeDns({
      ...{ config, names: this.names, ipv6: this.ipv6, leases, sockets, policy, clock, log },
      ask: makeDnsHook(asking, this.gate),
      proxied: dnsProxied,
      onAnswer: (owner, query, reply, trace) => {
        if (!hub.has('dns')) return;
        const { flowBook } = this.view;
        hub.emit('dns', {
          kind: 'answered',
          query: dnsQueryView(flowBook, owner, query, reply, trace, clock.now()),
        });
      },
    });
    const guestOf = (text: string): Guest | undefined => {
      const address = parseAddress(text);
      if (address !== undefined) return stack.stations.neighborAt(address)?.guest;
      const isCalled = ({ guest }: LinkPort): boolean => policyNames.of(guest).includes(text);
      return [...stack.links].find(isCalled)?.guest;
    };
    const asked = { policy: this.dataPath.policy, clock, guestOf };
    const localAddresses = (name: string): readonly IpAddress[] | undefined =>
      this.names.addressesOf(name);
    this.policy = new LivePolicy({
      ...{ ...asked, start: start.policy, book, log },
      prober: new PolicyProber({
        ...{ ...asked, destinations, names: book.names, localAddresses },
        isIsolated: config.separation.isolate,
        isMux: (text) => config.mux.links.includes(text),
      }),
      work: new SlicedWork((ms) => this.dataPath.turns.onApart(ms)),
      policePassage: (policed) => stack.policePassage(policed),
      surroundings: surroundingsOf(config, addresses, clock),
      isName: (text) =>
        policyNames.isLease(text) ||
        config.mux.links.includes(text) ||
        Array.from(this.links, ({ description }) => description).includes(text),
    });
    reach.whenAsked(() => this.policy.onWallClock());
    this.proxy = new LiveProxy({
      start: start.proxy,
      log,
      makeParts: (load, rules) =>
        new load.ProxyParts(
          {
            ...{ dataPath: this.dataPath, dns: this.dns, names: this.names, clock, log },
            ...{ gateway: gatewayAddresses(addresses), dnsProxied },
            options: this.dataPath.connectOptions,
          },
          rules,
        ),
    });
    this.ipv6.start();
    native.whenLoaded((posix) => {
      this.ipv6.watchWith(posix);
      const files = [this.leaseFile, this.keptNames, this.audit, this.capture];
      for (const file of files) file?.claim?.useCalls(posix);
    });
    const gatewayDns = serveDns(this.dns, this.dataPath, addresses, config.dns, clock);
    const { ports } = this;
    this.guestApi = config.guestApi.enabled
      ? serveGuestApi({ config, addresses, ports, dataPath: this.dataPath, clock, log })
      : undefined;
    serveNtp(stack, destinations);
    this.forwards = new GatewayForwards(this.dataPath, addresses);
    serveDhcp(stack, dhcp, leases, directory);
    if (dhcp6 !== undefined) serveDhcpv6(stack, dhcp6, directory);
    this.expectGuests(leases);
    const { udp, forwards, published, echo } = this.dataPath;
    const flowBook = new FlowViews({
      ...{ book, clock },
      leases: () => leases.list(),
    });
    emitFlowEvents(flowBook, this.dataPath.verdicts, hub);
    const budgets = [
      ...stack.budgets,
      this.dataPath.sockets,
      udp.places,
      forwards.places,
      published.places,
      echo.places,
      this.dns.queries,
      gatewayDns.connections,
      book.names.budget,
      this.dataPath.policy.denials.budget,
      this.dataPath.denials.others.budget,
      this.ports.budget,
      ...(this.guestApi === undefined ? [] : [this.guestApi.budget]),
      ...(this.gate === undefined ? [] : [this.gate.questions.budget]),
    ];
    this.dataPath.limitWatch.watch(budgets, (event) => hub.emit('limit', event));
    this.view = new LiveView({
      options: config,
      ipv6: addresses.ipv6,
      uplink: () => this.ipv6.now,
      clock,
      stack,
      links: this.links,
      flowBook,
      policy: this.policy,
      proxy: this.proxy,
      events: hub,
      udp,
      echo,
      ports: this.ports,
      mux: this.mux,
      dns: this.dns,
      dnsRecords: this.names.records,
      leases,
      native,
      limitWatch: this.dataPath.limitWatch,
      conflicts,
      audit: this.audit,
      turns: this.dataPath.turns,
      budgets,
      groups: countGroups({
        ...{ dataPath: this.dataPath, mux: this.mux, ssh: this.ssh, streams: this.streams },
        ...{
          faults: this.faults,
          dhcp,
          dhcp6,
          dns: this.dns,
          router: this.ipv6.router,
          guestApi: this.guestApi,
        },
        ...{ gate: this.gate, audit: this.audit },
      }),
    });
  }

  async close(): Promise<void> {
    this.guestWatch.settle();
    this.gate?.close();
    this.guestApi?.close();
    this.ports.close();
    this.proxy.close();
    this.ssh.close();
    await this.mux.close();
    this.streams.close();
    this.dataPath.closeConnections();
    await this.links.close();
    await this.capture?.close();
    this.dataPath.close();
    this.ipv6.close();
    this.dns.close();
    this.guestWatch.close();
    for (const watch of this.leaseWatches) watch.close();
    this.leaseFile?.close();
    this.keptNames.close();
    this.policy.close();
    this.dataPath.verdicts.settle();
    this.dataPath.book.feed.settle();
    await this.audit?.close();
    this.hub.clear();
    this.faults.close();
  }

  private onLinkCount(links: number): void {
    const before = this.linkCount;
    this.linkCount = links;
    this.guestWatch.changed();
    if (links === 0 && before > 0) this.onLastGuestGone();
  }

  /** Guests known from before a restart are solicited on every new link. */
  private expectGuests(leases: GuestLeases): void {
    const now = this.clock.now();
    for (const { address, state } of leases.list()) {
      if (state === 'bound') this.dataPath.stack.expectGuest(now, requiredAddress(address));
    }
  }
}
