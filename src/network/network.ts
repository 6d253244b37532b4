/**
 * The composition root: options in, a running network out. Everything else is given what it needs;
 * only this file knows how the parts fit together.
 */
import { availableParallelism } from 'node:os';
import { Counters } from '../base/counters.ts';
import { keyGuest, keyRemote } from '../base/flow-key.ts';
import type { IpAddress } from '../base/ip-address.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { NetworkView } from '../control/network-view.ts';
import { type BindRule, parseBindRule } from '../control/ports/bind-rules.ts';
import { GUEST_API_PORT, GuestApi } from '../control/ports/guest-api.ts';
import { AddressMap } from '../proxy/address-map.ts';
import { BusyPoll, defaultWindowUs } from '../proxy/busy-poll.ts';
import { DnsForwarder } from '../proxy/dns/forwarder.ts';
import { DNS_PORT, GatewayDns } from '../proxy/dns/gateway-dns.ts';
import { ImmediateFlush } from '../proxy/flush-scheduler.ts';
import { EchoProxy } from '../proxy/icmp/echo-proxy.ts';
import { LeaseFile } from '../proxy/lease-file.ts';
import { OwnListeners } from '../proxy/own-listeners.ts';
import { PortTable } from '../proxy/ports/port-table.ts';
import { parsePublish } from '../proxy/ports/publish-text.ts';
import { UdpPublisher } from '../proxy/ports/udp-publisher.ts';
import { TcpProxy, type TcpProxyCount } from '../proxy/tcp/tcp-proxy.ts';
import { Outboxes } from '../proxy/udp/outbox.ts';
import { SendPool } from '../proxy/udp/send-pool.ts';
import { UDP_NAT_DEFAULTS, UdpNat } from '../proxy/udp/udp-nat.ts';
import { ProxyUpstream, type TcpService } from '../proxy/upstream.ts';
import { parseAddress, parsePrefix } from '../services/address-text.ts';
import { DhcpServer } from '../services/dhcp/server.ts';
import { LocalNames } from '../services/dns/local-names.ts';
import { answerNtp, NTP_PORT } from '../services/ntp.ts';
import type { TcpFlow, TcpFlowHandler } from '../stack/flow.ts';
import type { LinkAcceptor } from '../stack/link.ts';
import { Stack } from '../stack/stack.ts';
import type { LinkContext, OpenLink } from '../transports/link-context.ts';
import { listensAt, parseLinkSpec } from '../transports/link-spec.ts';
import { MemoryLink } from '../transports/memory-link.ts';
import { NodeClock } from '../transports/node-clock.ts';
import { openLink } from '../transports/open-link.ts';
import { openPacketLink } from '../transports/packet-link.ts';
import { removeStaleSocket } from '../transports/stale-socket.ts';
import { replyDestination } from '../wire/dhcp.ts';
import { readMac } from '../wire/mac.ts';
import type { NetworkConfig } from './config.ts';
import { cryptoRandom } from './crypto-random.ts';
import { LiveView } from './live-view.ts';
import { MuxLinks } from './mux-links.ts';
import { NativeCalls } from './native-calls.ts';
import type { Network } from './network-interface.ts';
import { flowLimits, openFilesLimit } from './open-files.ts';
import { packageVersion } from './version.ts';

/** The gateway's Ethernet address, as gvproxy and VPNKit have it. */
const GATEWAY_MAC = 0x5a94_efe4_0cdd;
const LEASE_SECONDS = 3600;
/** Ports of the gateway's that `guest:` links come from. */
const FIRST_MUX_PORT = 49_152;
const MAX_PORT = 65_535;
const DHCP_YIADDR = 16;
const DHCP_CIADDR = 12;
const DHCP_CHADDR = 28;

/** @throws Error whose message says what failed, on what, and what to do; nothing is left behind */
export async function openNetwork(options: NetworkConfig, log: Log): Promise<Network> {
  const network = new RunningNetwork(options, log);
  try {
    await network.open();
  } catch (error) {
    await network.close();
    throw error;
  }
  return network;
}

class RunningNetwork implements Network {
  readonly view: NetworkView;
  private readonly options: NetworkConfig;
  private readonly log: Log;
  private readonly clock: Clock = new NodeClock();
  private readonly stack: Stack;
  private readonly tcp: TcpProxy;
  private readonly udp: UdpNat;
  private readonly published: UdpPublisher;
  private readonly echo: EchoProxy;
  readonly ports: PortTable;
  private readonly mux: MuxLinks;
  private nextMuxPort = FIRST_MUX_PORT;
  private readonly dns: DnsForwarder;
  private readonly dhcp: DhcpServer;
  private readonly native: NativeCalls;
  private readonly leaseFile: LeaseFile | undefined;
  private readonly guestApi: GuestApi | undefined;
  private readonly links: OpenLink[] = [];
  private readonly ownListeners = new OwnListeners();
  private linkCount = 0;
  private lastGuestGone: () => void = () => {};

  constructor(options: NetworkConfig, log: Log) {
    this.options = options;
    this.log = log;
    const { clock } = this;
    const random = cryptoRandom;
    const subnet = parsePrefix(options.subnet);
    const gateway = required(options.gateway);
    const host = options.hostIp === undefined ? undefined : required(options.hostIp);
    if (subnet === undefined) throw new Error(`${options.subnet} is not a network`);
    const addresses = new AddressMap({
      subnet,
      gateway,
      host,
      isOwnListener: (address, port) => this.ownListeners.includes(address, port),
    });

    const limits = flowLimits(openFilesLimit());
    const upstream = new ProxyUpstream();
    this.stack = new Stack(
      {
        subnet: subnet.address,
        prefixLen: subnet.bits,
        gateway,
        host,
        mtu: options.mtu,
        mac: GATEWAY_MAC,
        verifyChecksums: options.verifyChecksums,
        tcp: { maxConnections: limits.connections, maxRequests: limits.requests },
      },
      clock.now(),
      random,
      upstream,
    );
    const { stack } = this;
    const flush = new ImmediateFlush(() => stack.flush());
    const native = new NativeCalls(log);
    this.native = native;
    const pool = new SendPool();
    const outboxes = new Outboxes(() => native.posix?.makeDatagramBatch());
    const seed = random.next32();
    const tcpCounts = new Counters<TcpProxyCount>();
    this.tcp = new TcpProxy({ clock, flusher: flush }, stack, tcpCounts);
    const shared = { downstream: stack, clock, flush, addresses, pool, seed };
    this.udp = new UdpNat(
      { ...shared, outboxes, native },
      { ...UDP_NAT_DEFAULTS, bindings: limits.bindings },
    );
    const firstGuest = (): IpAddress | undefined => this.firstGuest();
    this.published = new UdpPublisher({ ...shared, outboxes, firstGuest });
    this.echo = new EchoProxy({ ...shared, native, log });
    this.mux = new MuxLinks({
      links: options.mux.links,
      allow: options.mux.allow,
      sourceAddress: options.sourceAddress,
      serves: (now, request) => this.guestApi?.onChannel(now, request) ?? false,
      clock,
      log,
      dialGuest: (port, handler) => this.dialGuest(port, handler),
      flusher: flush,
    });
    this.ports = new PortTable(
      {
        serve: (stream, id, preface, onEnd) => this.tcp.serve(stream, id, preface, onEnd),
        addresses,
        udp: this.published,
        firstGuest,
        freePath: removeStaleSocket,
        agent: options.mux.links.length > 0 ? this.mux.carrier : undefined,
      },
      { sourceAddress: options.sourceAddress },
    );

    this.leaseFile =
      options.leases.file === undefined ? undefined : new LeaseFile(options.leases.file, log);
    this.dhcp = new DhcpServer(
      {
        subnet: subnet.address.d,
        prefix: subnet.bits,
        gateway: gateway.d,
        hostIp: host?.d,
        mtu: options.mtu,
        dns: [gateway.d],
        ntp: [gateway.d],
        search: options.dns.search ?? [],
        domain: undefined,
        leaseSeconds: LEASE_SECONDS,
        staticLeases: options.leases.static.map((lease) => ({
          mac: lease.mac,
          address: required(lease.address).d,
          hostname: lease.hostname,
        })),
      },
      this.leaseFile,
    );
    this.dns = new DnsForwarder({
      names: new LocalNames({
        gateway: [gateway],
        host: host === undefined ? [] : [host],
        zones: options.dns.zones.map(({ zone, address }) => ({ zone, address: required(address) })),
      }),
      log,
      now: () => clock.now(),
      upstreams: options.dns.upstreams,
      hostsFile: options.dns.hostsFile,
      onSearch:
        options.dns.search === undefined ? (search) => this.dhcp.setSearch(search) : undefined,
    });
    const gatewayDns = new GatewayDns(this.dns, stack, clock, flush);
    const refusals = new Counters<string>();
    const services = new Map<number, TcpService>();
    services.set(DNS_PORT, (now, request) => gatewayDns.onRequest(now, request));
    if (options.guestApi.enabled) {
      const api = new GuestApi({
        ports: this.ports,
        gateway,
        rules: options.guestApi.bind.map(requiredRule),
        context: { clock, flusher: flush },
        version: packageVersion(),
        log,
      });
      this.guestApi = api;
      services.set(GUEST_API_PORT, (now, request) => api.onRequest(now, request));
    }
    upstream.parts = {
      addresses,
      tcp: this.tcp,
      udp: this.udp,
      published: this.published,
      echo: this.echo,
      services,
      refusals,
    };
    stack.serveUdp(DNS_PORT, gatewayDns.onDatagram);
    this.serveNtp();
    this.serveDhcp();
    const carried = (): number =>
      this.links.reduce((sum, { stats }) => sum + stats.bytesToHost + stats.bytesToGuest, 0);
    const windowUs = options.busyPollUs ?? defaultWindowUs(availableParallelism());
    const busyPoll = new BusyPoll({ clock, carried }, windowUs);
    stack.afterWork = (): void => {
      outboxes.flush();
      this.arm();
      busyPoll.onWork();
    };
    stack.onLinkCount = (links): void => this.onLinkCount(links);
    this.view = new LiveView({
      options,
      clock,
      stack,
      links: this.links,
      tcp: this.tcp,
      udp: this.udp,
      echo: this.echo,
      ports: this.ports,
      mux: this.mux,
      dns: this.dns,
      dhcp: this.dhcp,
      native,
      groups: {
        tcp: tcpCounts,
        udp: this.udp.counts,
        published: this.published.counts,
        icmp: this.echo.counts,
        dns: this.dns.counts,
        dhcp: this.dhcp.counts,
        'dhcp-drops': this.dhcp.drops,
        refusals,
        mux: this.mux.carrier.counts,
        'mux-udp': this.mux.carrier.udpCounts,
        'mux-dialer': this.mux.dialer.counts,
      },
    });
  }

  /** Open every link and publication. */
  async open(): Promise<void> {
    for (const text of this.options.listen) {
      const link = await openLink(parseLinkSpec(text), this.linkContext());
      this.links.push(link);
      const at = listensAt(parseLinkSpec(link.description));
      if (at !== undefined && 'host' in at) this.ownListeners.add(at.host, at.port);
    }
    await this.mux.open();
    for (const text of this.options.publish) {
      for (const spec of parsePublish(text)) await this.ports.publish(spec, 'config');
    }
    this.native.loadSoon();
  }

  onLastGuestGone(callback: () => void): void {
    this.lastGuestGone = callback;
  }

  denyGuests(address: string, port: number): void {
    this.ownListeners.add(address, port);
  }

  /** Serve a guest that is another segment in this process (the demo's, where nothing else is allowed). */
  attachSegment(guest: LinkAcceptor, description: string): void {
    this.links.push(new MemoryLink(guest, description, this.linkContext()));
  }

  /** Serve a guest behind a packet socket (the demo's, without root). */
  attachPacketSocket(fd: number, description: string): void {
    this.links.push(openPacketLink(fd, true, description, this.linkContext()));
  }

  async close(): Promise<void> {
    this.guestApi?.close();
    this.ports.close();
    await this.mux.close();
    this.tcp.close();
    this.stack.flush();
    for (const link of this.links.splice(0)) await link.close();
    this.udp.close();
    this.echo.close();
    this.native.close();
    this.dns.close();
    this.leaseFile?.flush();
    this.stack.afterWork = (): void => {};
    this.clock.wakeAt(Number.POSITIVE_INFINITY, () => {});
  }

  private linkContext(): LinkContext {
    return { acceptor: this.stack, clock: this.clock, log: this.log, mtu: this.options.mtu };
  }

  private onLinkCount(links: number): void {
    const before = this.linkCount;
    this.linkCount = links;
    if (links === 0 && before > 0) this.lastGuestGone();
  }

  /**
   * Who a publication without a guest address is for: the lowest address that is attached, or else
   * leased; a guest that has said nothing since its lease is asked for when it is dialled.
   */
  private firstGuest(): IpAddress | undefined {
    let first: IpAddress | undefined;
    this.stack.forEachNeighbor((neighbor) => {
      if (neighbor.port === undefined) return;
      if (first === undefined || neighbor.address.d >>> 0 < first.d >>> 0) first = neighbor.address;
    });
    return first ?? this.firstLeased();
  }

  private firstLeased(): IpAddress | undefined {
    let first: IpAddress | undefined;
    for (const { address, state } of this.dhcp.leases(this.clock.now(), Date.now())) {
      const leased = state === 'bound' ? parseAddress(address) : undefined;
      if (leased === undefined) continue;
      if (first === undefined || leased.d >>> 0 < first.d >>> 0) first = leased;
    }
    return first;
  }

  /** For the multiplexer's `guest:` links: the gateway is who connects. */
  private dialGuest(guestPort: number, handler: TcpFlowHandler): TcpFlow | undefined {
    const guest = this.firstGuest();
    if (guest === undefined) return undefined;
    const remotePort = this.nextMuxPort;
    this.nextMuxPort = remotePort === MAX_PORT ? FIRST_MUX_PORT : remotePort + 1;
    const remote = required(this.options.gateway);
    return this.stack.dial(this.clock.now(), { guest, guestPort, remote, remotePort }, handler);
  }

  // --- time ---

  private arm(): void {
    const at = Math.min(
      this.stack.nextTimeout(),
      this.udp.nextTimeout(),
      this.published.nextTimeout(),
      this.echo.nextTimeout(),
    );
    this.clock.wakeAt(at, this.onTime);
  }

  private readonly onTime = (): void => {
    const now = this.clock.now();
    this.udp.onTimeout(now);
    this.published.onTimeout(now);
    this.echo.onTimeout(now);
    this.stack.onTimeout(now); // ends with `afterWork`, which arms the next
  };

  // --- services of the gateway ---

  private serveNtp(): void {
    const reply = new Uint8Array(48);
    const view = new DataView(reply.buffer);
    this.stack.serveUdp(NTP_PORT, (now, datagram) => {
      const { slab, off, len, key, guestPort, remotePort } = datagram;
      const at = slab.bytes.byteOffset + off;
      const request = new DataView(slab.bytes.buffer, at, len);
      const replyLen = answerNtp(request, view, Date.now());
      if (replyLen === 0) return;
      const id = { guest: keyGuest(key), guestPort, remote: keyRemote(key), remotePort };
      this.stack.sendDatagram(now, id, reply, 0, replyLen);
    });
  }

  private serveDhcp(): void {
    this.stack.serveDhcp((now, request, out, off) => {
      const len = this.dhcp.answer(request, out, off, now, Date.now());
      if (len === 0) return undefined;
      const reply = new DataView(out.bytes.buffer, out.bytes.byteOffset + off, len);
      const mac = readMac(reply, DHCP_CHADDR);
      switch (replyDestination(reply)) {
        case 'broadcast':
          return { len, address: -1, mac };
        case 'ciaddr':
          return { len, address: reply.getInt32(DHCP_CIADDR), mac };
        case 'yiaddr':
          return { len, address: reply.getInt32(DHCP_YIADDR), mac };
      }
    });
  }
}

function required(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is not an IP address`);
  return address;
}

function requiredRule(text: string): BindRule {
  const rule = parseBindRule(text);
  if (rule === undefined) throw new Error(`${text} is not a rule for the ports of guests`);
  return rule;
}
