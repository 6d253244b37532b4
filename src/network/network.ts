/** The composition root: makes a running network of its options, and passes every other object its dependencies. */
import { Duplex } from 'node:stream';
import { Emitter } from '../base/emitter.ts';
import { FaultWatch } from '../base/faults.ts';
import type { IpAddress } from '../base/ip-address.ts';
import { LimitedLog } from '../base/limited-log.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { ApiListener } from '../control/api-listener.ts';
import type { NetworkView, PortView } from '../control/network-view.ts';
import type { GuestApi } from '../control/ports/guest-api.ts';
import { portView } from '../control/ports/port-view.ts';
import type { DnsForwarder } from '../proxy/dns/forwarder.ts';
import { HostReach } from '../proxy/host-reach.ts';
import { LeaseFile } from '../proxy/lease-file.ts';
import { OwnListeners } from '../proxy/own-listeners.ts';
import { PortTable } from '../proxy/ports/port-table.ts';
import type { PublishSpec } from '../proxy/ports/publish-spec.ts';
import { parsePublish } from '../proxy/ports/publish-text.ts';
import type { SshForwards } from '../proxy/ssh/ssh-forwards.ts';
import type { LeaseStore } from '../services/dhcp/lease.ts';
import type { LocalNames } from '../services/dns/local-names.ts';
import type { ZoneTable } from '../services/dns/zone-table.ts';
import type { LinkAcceptor } from '../stack/link.ts';
import type { Stack } from '../stack/stack.ts';
import { PcapFile } from '../transports/capture/pcap-file.ts';
import { TappedAcceptor } from '../transports/capture/tapped-acceptor.ts';
import type { PlainFrameWriter } from '../transports/frame-link.ts';
import { NodeClock } from '../transports/node-clock.ts';
import { removeStaleSocket } from '../transports/stale-socket.ts';
import { macOf } from '../wire/mac.ts';
import { addressesOf, networksOf, requiredAddress } from './addresses.ts';
import type { DnsZone, NetworkConfig } from './config.ts';
import type { DaemonNetwork } from './daemon-network.ts';
import { DataPath } from './data-path.ts';
import { GuestWatch, LeaseWatch, type NetworkEvents } from './events.ts';
import { FlowEvents } from './flow-events.ts';
import { FlowViews } from './flow-views.ts';
import { dhcpSegment, makeDhcpServer, serveDhcp } from './gateway-dhcp.ts';
import { makeDhcpv6Server, serveDhcpv6 } from './gateway-dhcpv6.ts';
import { serveGuestApi } from './gateway-guest-api.ts';
import { makeDns, makeLocalNames, serveDns, userZones } from './gateway-names.ts';
import { serveNtp } from './gateway-ntp.ts';
import { GuestDirectory } from './guest-directory.ts';
import { GuestLeases } from './guest-leases.ts';
import {
  type DialOptions,
  type GuestConnection,
  type GuestServer,
  GuestStreams,
  type ListenOptions,
} from './guest-streams.ts';
import { Guests } from './guests.ts';
import { Ipv6Service } from './ipv6-service.ts';
import { keptAddresses } from './kept-addresses.ts';
import {
  type Attachment,
  type AttachOptions,
  type FrameAttachment,
  Links,
  type StreamFraming,
} from './links.ts';
import { LiveView } from './live-view.ts';
import { MuxLinks } from './mux-links.ts';
import type { Network, ServeApiOptions, ServedApi } from './network-interface.ts';
import { noteEvents, noteIpv6, noteRefused } from './notes.ts';
import { serveNetworkApi } from './serve-api.ts';
import { makeSshForwards } from './ssh.ts';

/**
 * @param beforeLinks called when all is there but the links where guests attach
 * @throws Error whose message states what failed, on what, and what to do; nothing is left behind
 */
export async function openNetwork(
  config: NetworkConfig,
  log: Log,
  beforeLinks?: (network: Network & DaemonNetwork) => Promise<void>,
): Promise<Network & DaemonNetwork> {
  const reach = new HostReach();
  await reach.ask();
  const network = new RunningNetwork(config, log, reach);
  try {
    await network.open();
    await beforeLinks?.(network);
    await network.openLinks();
  } catch (error) {
    await network.close();
    throw error;
  }
  return network;
}

class RunningNetwork implements Network, DaemonNetwork {
  readonly view: NetworkView;
  readonly ports: PortTable;
  private readonly config: NetworkConfig;
  private readonly log: Log;
  private readonly faults: FaultWatch;
  private readonly clock: Clock = new NodeClock();
  private readonly emitter = new Emitter<NetworkEvents>();
  private readonly guestWatch: GuestWatch;
  private readonly flowEvents: FlowEvents;
  private readonly dataPath: DataPath;
  private readonly links: Links;
  private readonly streams: GuestStreams;
  private readonly mux: MuxLinks;
  private readonly ssh: SshForwards;
  private readonly ipv6: Ipv6Service;
  private readonly names: LocalNames;
  private readonly dns: DnsForwarder;
  private readonly leaseFile: LeaseFile | undefined;
  private readonly guestApi: GuestApi | undefined;
  private readonly capture: PcapFile | undefined;
  private readonly ownListeners = new OwnListeners();
  private readonly apis = new Set<ApiListener>();
  private linkCount = 0;
  private lastGuestGone: () => void = () => {};
  private closing: Promise<void> | undefined = undefined;

  constructor(config: NetworkConfig, unlimited: Log, reach: HostReach) {
    this.config = config;
    const { clock, emitter, ownListeners } = this;
    const log = new LimitedLog(unlimited, clock);
    this.log = log;
    this.faults = new FaultWatch(log);
    const addresses = addressesOf(config, reach.now.source6);
    const { gateway } = addresses;
    this.guestWatch = new GuestWatch(() => this.view, emitter);
    const { file } = config.leases;
    this.leaseFile = file === undefined ? undefined : new LeaseFile(file, log);
    const watched = (store: LeaseStore | undefined): LeaseWatch =>
      new LeaseWatch(() => this.view, emitter, store);
    const ofStack = (): Stack => this.dataPath.stack;
    const segment = dhcpSegment(log, clock, ofStack);
    const dhcp = makeDhcpServer(config, addresses, watched(this.leaseFile?.ipv4), segment);
    const store6 = watched(this.leaseFile?.ipv6);
    const dhcp6 = makeDhcpv6Server(config, addresses, store6, log, clock, ofStack);
    const leases = new GuestLeases(dhcp, dhcp6, clock);
    const directory = new GuestDirectory({
      forEachPlace: (visit) => this.dataPath.stack.forEachNeighbor(visit),
      forEachClaim: (mac, visit) => this.dataPath.stack.forEachClaim(mac, visit),
      userAt: (address) => this.dataPath.stack.userOf(clock.now(), address)?.mac ?? 0,
      firstClaimant: (prefix) => this.dataPath.stack.firstClaimant(prefix),
      prefix6: addresses.ipv6?.prefix,
      placeAt: (address) => this.dataPath.stack.neighborAt(address),
      leases: () => leases.list(),
      holderAt: (address) => leases.holderAt(address),
      staticLeases: config.leases.static,
      log,
    });
    const guests = new Guests({
      stack: () => this.dataPath.stack,
      directory,
      gateway,
      gateway6: addresses.ipv6?.gateway,
      clock,
    });
    noteIpv6(config, addresses, log);
    noteEvents(emitter, log);
    this.dataPath = new DataPath({
      config,
      addresses,
      ownListeners,
      clock,
      log,
      onGuestHeard: (address, mac) => {
        const port = this.dataPath.stack.neighborAt(address)?.port;
        if (port !== undefined) leases.onHeard(address, mac, port.id);
        directory.onGuestHeard(mac);
        this.guestWatch.changed();
      },
      onGuestGone: (owner) => this.ports.endGuest(owner),
      carried: () => this.links.carried,
      events: {
        onLinkCount: (links) => this.onLinkCount(links),
        onLinkDown: (now, link) => leases.onLinkDown(link, now),
        onRefused: (port, reason) => noteRefused(port, reason, log),
      },
    });
    const { stack, flusher, listeners, addressMap, destinations, book, native, turns } =
      this.dataPath;
    const { mtu, keepaliveS, socketMode, vhostMemory, wsOrigins } = config;
    const { pcapFile } = config;
    this.capture = pcapFile === undefined ? undefined : new PcapFile(pcapFile, clock.now(), log);
    const context = {
      acceptor:
        this.capture === undefined
          ? stack
          : new TappedAcceptor(stack, this.capture, addresses.mac, () => clock.now()),
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
    this.links = new Links({ context, ownListeners, log });
    this.streams = new GuestStreams({
      stack,
      guests,
      listeners,
      addressMap,
      book,
      gateway,
      context: { clock, flusher },
    });
    this.mux = new MuxLinks({
      links: config.mux.links,
      allow: config.mux.allow,
      opensTarget: (owner, { proto, address, port }) =>
        destinations.opensTarget(owner ?? stack.guests.nobody, proto, address, port),
      sourceAddress: config.sourceAddress,
      sockets: this.dataPath.sockets,
      keepaliveS,
      serves: (now, request, owner) => this.guestApi?.onChannel(now, request, owner) ?? false,
      book,
      clock,
      log,
      turns,
      guests: directory,
      dialGuest: (guest, port, handler) => guests.dial(guest, port, handler),
      flusher,
      socketMode,
      vhostMemory,
    });
    this.ssh = makeSshForwards({ streams: this.streams, stack, book, clock, log });
    this.ports = this.makePorts(directory);
    const networks = networksOf(addresses);
    this.names = makeLocalNames(config, addresses, networks, directory);
    this.ipv6 = new Ipv6Service({
      ...{ config, addresses, networks, reach, dhcp, clock, log },
      dataPath: this.dataPath,
      find: (query, found) => this.dns.find(query, 'udp', stack.guests.nobody, found),
    });
    const { sockets } = this.dataPath;
    this.dns = makeDns({ config, names: this.names, ipv6: this.ipv6, leases, sockets, clock, log });
    this.ipv6.start();
    native.whenLoaded((posix) => this.ipv6.watchWith(posix));
    const gatewayDns = serveDns(this.dns, this.dataPath, addresses, config.dns, clock);
    const { ports } = this;
    this.guestApi = config.guestApi.enabled
      ? serveGuestApi({ config, addresses, ports, dataPath: this.dataPath, clock, log })
      : undefined;
    serveNtp(stack);
    serveDhcp(stack, dhcp, leases, directory);
    if (dhcp6 !== undefined) serveDhcpv6(stack, dhcp6, directory);
    this.expectGuests(leases);
    const { udp, published, echo, tcpCounts, refusals } = this.dataPath;
    const flowBook = new FlowViews({
      ...{ book, clock },
      leases: () => leases.list(),
    });
    this.flowEvents = new FlowEvents(flowBook, emitter);
    this.view = new LiveView({
      options: config,
      ipv6: addresses.ipv6,
      uplink: () => this.ipv6.now,
      clock,
      stack,
      links: this.links,
      flowBook,
      udp,
      echo,
      ports: this.ports,
      mux: this.mux,
      dns: this.dns,
      leases,
      native,
      limitWatch: this.dataPath.limitWatch,
      turns: this.dataPath.turns,
      budgets: [
        ...stack.budgets,
        this.dataPath.sockets,
        udp.places,
        published.places,
        echo.places,
        this.dns.queries,
        gatewayDns.connections,
        book.names.budget,
        this.ports.budget,
        ...(this.guestApi === undefined ? [] : [this.guestApi.budget]),
      ],
      groups: {
        tcp: tcpCounts,
        udp: udp.counts,
        published: published.counts,
        icmp: echo.counts,
        dns: this.dns.counts,
        dhcp: dhcp.counts,
        'dhcp-drops': dhcp.drops,
        ...(dhcp6 === undefined ? {} : { dhcpv6: dhcp6.counts, 'dhcpv6-drops': dhcp6.drops }),
        ...(this.ipv6.router === undefined ? {} : { router: this.ipv6.router.counts }),
        ...(this.guestApi === undefined ? {} : { 'guest-api': this.guestApi.counts }),
        refusals,
        faults: this.faults.counts,
        mux: this.mux.carrier.counts,
        'mux-udp': this.mux.carrier.udpCounts,
        'mux-dialer': this.mux.dialer.counts,
        ssh: this.ssh.counts,
      },
    });
  }

  /** Open every publication, and links to agents. */
  async open(): Promise<void> {
    await this.mux.open();
    for (const text of this.config.publish) await this.publishFor('config', text);
  }

  /** Open every link for guests: last, for launchers start a guest when its socket is there. */
  async openLinks(): Promise<void> {
    for (const text of this.config.listen) await this.links.listen(text);
    this.dataPath.native.loadSoon();
  }

  attach(
    link: Duplex | number | PlainFrameWriter,
    options?: AttachOptions<never>,
  ): Attachment & FrameAttachment;
  attach(link: Duplex | number | PlainFrameWriter, options: AttachOptions<never> = {}): Attachment {
    if (typeof link === 'number') return this.links.attachDescriptor(link, options);
    if (link instanceof Duplex) return this.links.attachStream(link, options);
    return this.links.attachWriter(link, options.name);
  }

  attachConnection(socket: Duplex, framing: StreamFraming, server: string): Attachment {
    return this.links.attachConnection(socket, framing, server);
  }

  publish(publication: string | PublishSpec): Promise<readonly PortView[]> {
    return this.publishFor('library', publication);
  }

  private async publishFor(
    owner: 'config' | 'library',
    publication: string | PublishSpec,
  ): Promise<readonly PortView[]> {
    const specs = typeof publication === 'string' ? parsePublish(publication) : [publication];
    const published: PortView[] = [];
    try {
      for (const spec of specs) published.push(portView(await this.ports.publish(spec, owner)));
    } catch (error) {
      for (const { id } of published) this.ports.unpublish(id);
      throw error;
    }
    return published;
  }

  unpublish(port: PortView | string): boolean {
    return this.ports.unpublish(typeof port === 'string' ? port : port.id);
  }

  dial(options: DialOptions): Promise<GuestConnection> {
    return this.streams.dial(options);
  }

  listen(options: ListenOptions): GuestServer {
    return this.streams.listen(options);
  }

  async serveApi(options: ServeApiOptions): Promise<ServedApi> {
    const listener = await serveNetworkApi(options, this, this.log);
    this.apis.add(listener);
    const close = async (): Promise<void> => {
      if (this.apis.delete(listener)) await listener.close();
    };
    return { where: listener.where, close, [Symbol.asyncDispose]: close };
  }

  on<K extends keyof NetworkEvents>(name: K, listener: (event: NetworkEvents[K]) => void): this {
    this.emitter.on(name, listener);
    this.flowEvents.changed();
    return this;
  }

  off<K extends keyof NetworkEvents>(name: K, listener: (event: NetworkEvents[K]) => void): this {
    this.emitter.off(name, listener);
    this.flowEvents.changed();
    return this;
  }

  onLastGuestGone(callback: () => void): void {
    this.lastGuestGone = callback;
  }

  denyGuests(address: string, port: number): void {
    this.ownListeners.add(address, port);
  }

  denyProcess(offered: readonly number[]): void {
    this.ownListeners.addProcess(
      (address, port) => offered.includes(port) || this.ports.listensAt(address, port),
    );
  }

  get recordZones(): ZoneTable {
    return this.names.recordZones;
  }

  reloadNames(zones: readonly DnsZone[]): readonly string[] {
    this.names.setZones(userZones(zones));
    return this.dns.reload();
  }

  /** Serve the guest of another segment in this process (the demo's, where nothing else is permitted). */
  attachSegment(guest: LinkAcceptor, description: string): void {
    this.links.attachSegment(guest, description);
  }

  /** Serve a guest behind a packet socket (the demo's, without root). */
  attachPacketSocket(fd: number, name: string): void {
    this.links.attachDescriptor(fd, { framing: 'packet-vnet', name });
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async end(): Promise<void> {
    for (const api of this.apis) await api.close();
    this.guestApi?.close();
    this.ports.close();
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
    this.leaseFile?.flush();
    this.flowEvents.close();
    this.emitter.clear();
    this.faults.close();
  }

  private onLinkCount(links: number): void {
    const before = this.linkCount;
    this.linkCount = links;
    this.guestWatch.changed();
    if (links === 0 && before > 0) this.lastGuestGone();
  }

  private makePorts(guests: GuestDirectory): PortTable {
    const { config, mux, ssh, dataPath, emitter } = this;
    return new PortTable(
      {
        serve: (client) => dataPath.tcp.serve(client),
        addresses: dataPath.addressMap,
        udp: dataPath.published,
        guests,
        sockets: dataPath.sockets,
        ownerOf: (guest) => dataPath.stack.ownerOf(guest),
        isSameGuest: (one, other) => isSameStation(dataPath.stack, one, other),
        freePath: removeStaleSocket,
        isReserved: (port) => this.ownListeners.hasPort(port),
        agent: config.mux.links.length > 0 ? mux.carrier : undefined,
        ssh,
        onChange: (kind, port) => emitter.emit('port', { kind, port: portView(port) }),
      },
      { sourceAddress: config.sourceAddress, keepaliveS: config.keepaliveS },
    );
  }

  /** Guests known from before a restart are solicited on every new link. */
  private expectGuests(leases: GuestLeases): void {
    const now = this.clock.now();
    for (const { address, state } of leases.list()) {
      if (state === 'bound') this.dataPath.stack.expectGuest(now, requiredAddress(address));
    }
  }
}

function isSameStation(stack: Stack, one: IpAddress, other: IpAddress): boolean {
  const mac = stack.neighborAt(one)?.mac ?? 0;
  return mac !== 0 && mac === stack.neighborAt(other)?.mac;
}
