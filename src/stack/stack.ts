/**
 * The stack: one Ethernet segment with the gateway on it, from frames to flows and back.
 *
 * Theory of operation
 * -------------------
 * Sans-IO: frames, time and randomness come in as arguments; frames leave through the `FrameWriter`
 * of each link, flows and requests through `Upstream`. A transport calls `onFrame` for each frame of
 * a batch and `onBatchEnd` once; only then are handlers called and ACKs sent, and each link is
 * flushed in one write. Calls from above between batches (`send`, `dial`, `sendDatagram`) write
 * frames at once and leave the flush to the caller.
 *
 * `nextTimeout` and `onTimeout` are the only use of time; one timer of the shell serves them all.
 */
import { Counters } from '../base/counters.ts';
import type { IpAddress } from '../base/ip-address.ts';
import type { Random } from '../base/random.ts';
import type { Seq } from '../base/seq.ts';
import type { Budget } from '../base/shares/budget.ts';
import type { Instant } from '../base/time.ts';
import { TimerWheel } from '../base/timer-wheel.ts';
import type { TurnLimit } from '../base/turn.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, etherType } from '../wire/ethernet.ts';
import type { Mac } from '../wire/mac.ts';
import { Departures } from './departures.ts';
import type { StackDrop } from './drops.ts';
import type {
  Downstream,
  EchoId,
  FlowId,
  NetworkError,
  TcpFlow,
  TcpFlowHandler,
  Upstream,
} from './flow.ts';
import type { Frame } from './frame.ts';
import type { Guest } from './guest.ts';
import { GuestTable } from './guest-table.ts';
import { FamilyIcmpSender, IcmpErrors, type IcmpSender } from './icmp-sender.ts';
import { IpOutput } from './ip-output.ts';
import { ArpLayer } from './ipv4/arp.ts';
import { DhcpLayer, type DhcpResponder } from './ipv4/dhcp.ts';
import { IcmpInput } from './ipv4/icmp-input.ts';
import { Icmpv4Output } from './ipv4/icmp-output.ts';
import { IgmpLayer } from './ipv4/igmp.ts';
import { Ipv4Input } from './ipv4/input.ts';
import { Ipv6Layer } from './ipv6/layer.ts';
import type { FrameReader, FrameWriter, LinkAcceptor, Timed } from './link.ts';
import type { LinkPort } from './link-port.ts';
import { NeighborTable } from './neighbor.ts';
import { Packet } from './packet.ts';
import type { TcpErrorSink } from './path-errors.ts';
import { Reach } from './reach.ts';
import { Reassembler } from './reassembly.ts';
import { EthernetSegment, type SegmentOwner } from './segment.ts';
import { AddressBindings, type LeaseHolders, NO_LEASES } from './separation/address-bindings.ts';
import type { GuestAttempt } from './separation/guest-attempt.ts';
import type { PassageDrop } from './separation/passage.ts';
import { DEFAULT_SEPARATION, type PolicedPassage } from './separation/separation.ts';
import { NO_EVENTS, ownAddresses, type StackConfig, type StackEvents } from './stack-config.ts';
import { Stations } from './stations.ts';
import { DEFAULT_TCP_CONFIG } from './tcp/config.ts';
import type { TcpConnection } from './tcp/connection.ts';
import { TcpLayer } from './tcp/tcp-layer.ts';
import { UdpLayer, type UdpService } from './udp.ts';
import type { UpperLayers } from './upper-layers.ts';

export class Stack
  implements LinkAcceptor, Downstream, Timed, SegmentOwner, UpperLayers, TcpErrorSink
{
  readonly drops: Counters<StackDrop> = new Counters<StackDrop>();
  readonly tcp: TcpLayer;
  readonly config: StackConfig;
  readonly icmpErrors: IcmpErrors;
  /** Undefined where IPv6 is off. */
  readonly ipv6: Ipv6Layer | undefined;
  readonly guests: GuestTable;
  readonly stations: Stations;
  private readonly icmp: IcmpSender;
  private readonly reassembler: Reassembler;
  private readonly bindings: AddressBindings;
  private readonly segment: EthernetSegment;
  private readonly neighbors: NeighborTable;
  private readonly out: IpOutput;
  private readonly arp: ArpLayer;
  private readonly igmp: IgmpLayer;
  private readonly udp: UdpLayer;
  private readonly input: Ipv4Input;
  private readonly wheel: TimerWheel;
  private readonly reach: Reach;
  private readonly dhcp: DhcpLayer;
  private readonly departures: Departures;
  private readonly events: StackEvents;
  private readonly limit: TurnLimit;
  private lastNow: Instant;

  constructor(
    config: StackConfig,
    now: Instant,
    random: Random,
    upstream: Upstream,
    events: StackEvents = NO_EVENTS,
  ) {
    this.config = config;
    this.events = events;
    this.limit = { hasTime: () => events.hasTime?.() ?? true };
    this.lastNow = now;
    this.wheel = new TimerWheel(now);
    this.guests = new GuestTable(now);
    const own = ownAddresses(config);
    const tcpConfig = { ...DEFAULT_TCP_CONFIG, ...config.tcp };
    const separation = config.separation ?? DEFAULT_SEPARATION;
    this.bindings = new AddressBindings({
      subnetSize: 2 ** (32 - config.prefixLen) - 2,
      secret: random.next32(),
      graceMs: tcpConfig.linkDownGraceMs,
      movesFreely: separation.mode === 'trust',
      onForgotten: (address) => this.neighbors.forget(address),
      onConflict: ({ link }, claim) => {
        const port = this.segment.portOf(link);
        if (port !== undefined) this.events.onConflict?.(port, claim);
      },
    });
    this.segment = new EthernetSegment(
      own,
      config.mtu,
      this.bindings,
      separation,
      this,
      this.drops,
      this.guests,
    );
    this.neighbors = new NeighborTable(
      config.mac,
      random.next32(),
      this.guests.nobody,
      (at, { address, mac }) => upstream.onGuestHeard?.(at, address, mac),
    );
    this.stations = new Stations(this.segment, this.neighbors, this.bindings);
    this.neighbors.onGivenUp = ({ guest, address }) =>
      upstream.onAddressGone?.(this.lastNow, guest, address);
    this.reach = new Reach(this.neighbors, this.segment.ports, this.drops);
    this.out = new IpOutput(config.mtu, this.reach, random.next32());
    this.icmpErrors = new IcmpErrors(this.drops);
    this.reassembler = new Reassembler((reason) => this.drops.add(reason));
    const { out, drops, neighbors, reassembler, icmpErrors } = this;
    const icmp4 = new Icmpv4Output({ out, errors: icmpErrors, drops }, config.gateway);
    const packet = new Packet();
    this.ipv6 =
      own.ipv6 === undefined
        ? undefined
        : new Ipv6Layer({
            own: own.ipv6,
            mac: config.mac,
            mtu: config.mtu,
            verifyChecksums: config.verifyChecksums,
            rules: this.segment.rules,
            segment: this.segment,
            portOf: (link) => this.segment.portOf(link),
            onTentative: (at, address) => this.reach.onTentative(at, address),
            onOldReport: () => this.segment.stopSnooping(6),
            bindings: this.bindings,
            out,
            icmpErrors,
            drops,
            neighbors,
            reassembler,
            packet,
            upper: this,
            upstream,
            tcp: this,
          });
    this.icmp = this.ipv6 === undefined ? icmp4 : new FamilyIcmpSender(icmp4, this.ipv6.icmp);
    this.igmp = new IgmpLayer({
      own: own.ipv4,
      mac: config.mac,
      drops,
      onOldReport: () => this.segment.stopSnooping(4),
    });
    this.arp = new ArpLayer(own, this.neighbors, this.drops);
    this.dhcp = new DhcpLayer(own, this.neighbors, this.bindings, this.drops);
    this.udp = new UdpLayer(this.out, this.drops, upstream);
    this.reach.resolveBy({ ipv4: this.arp, ipv6: this.ipv6?.ndp, sender: this.udp });
    this.tcp = new TcpLayer({
      config: tcpConfig,
      wheel: this.wheel,
      out: this.out,
      icmp: this.icmp,
      drops: this.drops,
      random,
      upstream,
      limit: this.limit,
    });
    const grace = tcpConfig.linkDownGraceMs;
    this.departures = new Departures(grace, this.neighbors, this.tcp, upstream);
    this.input = new Ipv4Input({
      own,
      mtu: config.mtu,
      verifyChecksums: config.verifyChecksums,
      neighbors,
      icmp: icmp4,
      igmp: this.igmp,
      icmpInput: new IcmpInput(icmp4, drops, this.tcp, upstream),
      reassembler,
      drops,
      packet,
      upper: this,
    });
  }

  // --- what the composition calls ---

  attach(
    now: Instant,
    name: string,
    writer: FrameWriter,
    listener?: string,
    uid?: number,
  ): FrameReader | undefined {
    return this.segment.attach(now, name, writer, listener, uid);
  }

  /** As {@link UdpLayer.serve}. */
  serveUdp(port: number, service: UdpService): () => void {
    return this.udp.serve(port, service);
  }

  serveDhcp(responder: DhcpResponder, leases: LeaseHolders = NO_LEASES): void {
    this.dhcp.serve(responder, leases);
  }

  /** What guests share here. */
  get budgets(): readonly Budget[] {
    return [...Object.values(this.tcp.guests.budgets), this.reassembler.budget];
  }

  /** Links attached now. */
  get links(): Iterable<LinkPort> {
    return this.segment.ports;
  }

  /** Flows with events to deliver, or segments to send, at the end of the batch. */
  get owed(): number {
    return this.tcp.due.owed;
  }

  get tcpConnections(): Iterable<TcpConnection> {
    return this.tcp;
  }

  // --- Timed ---

  nextTimeout(): Instant {
    return Math.min(
      this.wheel.next(),
      this.reassembler.nextTimeout(),
      this.reach.nextTimeout(),
      this.tcp.due.nextStarvedRetry(this.lastNow),
      this.departures.nextAt,
    );
  }

  onTimeout(now: Instant): void {
    this.lastNow = now;
    this.reach.tick(now);
    this.icmpErrors.tick(now);
    this.wheel.advance(now, this.limit);
    this.reassembler.expire(now, (start) => {
      const isIpv4 = start.slab.view.getUint8(0) >>> 4 === 4;
      if (isIpv4) this.input.onIncomplete(start.slab);
      else this.ipv6?.input.onIncomplete(start);
    });
    this.departures.onTimeout(now);
    this.reach.onTimeout(now);
    this.tcp.due.feedStarved();
    this.onBatchEnd(now);
  }

  // --- Downstream ---

  ownerOf(guest: IpAddress): Guest {
    return this.neighbors.findAddress(guest)?.guest ?? this.guests.nobody;
  }

  isThere(guest: IpAddress): boolean {
    return this.neighbors.findAddress(guest)?.port !== undefined;
  }

  dial(now: Instant, id: FlowId, handler: TcpFlowHandler): TcpFlow | undefined {
    const neighbor = this.neighbors.obtain(now, id.guest);
    if (neighbor === undefined) {
      this.drops.add('neighbor-table-full');
      return undefined;
    }
    this.lastNow = now;
    if (!this.reach.mayAnswer(now, neighbor)) {
      this.drops.add('dial-guest-away');
      return undefined;
    }
    return this.tcp.dial(now, id, neighbor, handler);
  }

  /** From now on; `free`: as the separation's mode says. */
  policePassage(policed: PolicedPassage): void {
    this.segment.rules.policed = policed;
  }

  /** A guest may be at `address`, though it was not heard: every link that comes is asked for it. */
  expectGuest(now: Instant, address: IpAddress): void {
    this.neighbors.obtain(now, address);
  }

  sendDatagram(now: Instant, id: FlowId, bytes: Uint8Array, off: number, len: number): boolean {
    const neighbor = this.neighbors.obtain(now, id.guest);
    if (neighbor === undefined) {
      this.drops.add('neighbor-table-full');
      return false;
    }
    if (neighbor.port !== undefined) return this.udp.send(neighbor, id, bytes, off, len);
    return this.reach.hold(now, neighbor, id, bytes, off, len);
  }

  sendEchoReply(now: Instant, id: EchoId, bytes: Uint8Array, off: number, len: number): boolean {
    const neighbor = this.reach.find(now, id.guest);
    if (neighbor === undefined) return false;
    return this.icmp.reply(neighbor, id.remote, id, bytes, off, len);
  }

  sendUdpError(
    now: Instant,
    id: FlowId,
    error: NetworkError,
    from: IpAddress,
    payloadLen: number,
  ): void {
    const neighbor = this.reach.find(now, id.guest);
    if (neighbor !== undefined) this.icmp.sendUdpError(neighbor, id, error, from, payloadLen);
  }

  sendEchoError(now: Instant, id: EchoId, error: NetworkError, from: IpAddress): void {
    const neighbor = this.reach.find(now, id.guest);
    if (neighbor !== undefined) this.icmp.sendEchoError(neighbor, id, error, from);
  }

  flush(): void {
    this.tcp.due.uncork();
    this.segment.flush();
    this.events.afterWork();
  }

  // --- SegmentOwner ---

  onOwnFrame(now: Instant, port: LinkPort, frame: Frame): void {
    const { slab, off, len } = frame;
    const type = etherType(slab.view, off);
    if (type === ETHERTYPE_IPV4) this.input.onFrame(now, port, frame);
    else if (type === ETHERTYPE_IPV6 && this.ipv6 !== undefined) {
      this.ipv6.input.onFrame(now, port, frame);
    } else if (type === ETHERTYPE_ARP) this.arp.onFrame(now, port, slab.view, off, len);
    else this.drops.add('frame-unknown-type');
  }

  onAwake(now: Instant, port: LinkPort, mac: Mac): void {
    this.ipv6?.ndp.router?.onAwake(now, port.id, mac);
  }

  onTooBig(now: Instant, port: LinkPort, frame: Frame): void {
    const type = etherType(frame.slab.view, frame.off);
    if (type === ETHERTYPE_IPV4) this.input.onTooBig(now, port, frame);
    else if (type === ETHERTYPE_IPV6) this.ipv6?.input.onTooBig(now, port, frame);
  }

  askGroups(port: LinkPort, family: 4 | 6): void {
    if (family === 4) this.igmp.ask(port);
    else this.ipv6?.mld.ask(port);
  }

  onRefused(port: LinkPort, reason: PassageDrop): void {
    this.events.onRefused?.(port, reason);
  }

  onAttempt(port: LinkPort, attempt: Readonly<GuestAttempt>): void {
    this.events.onAttempt?.(port, attempt);
  }

  onBatchEnd(now: Instant): void {
    this.lastNow = now;
    this.reach.tick(now);
    this.icmpErrors.tick(now);
    this.tcp.endBatch(now);
    this.flush();
  }

  onPortUp(now: Instant, port: LinkPort): void {
    // A guest that was known may be behind the new link: ask, so that its flows go on at once.
    this.neighbors.forEach((neighbor) => {
      if (neighbor.port !== undefined) return;
      this.reach.ask(port, neighbor.address);
      neighbor.isAway = false;
    });
    this.ipv6?.ndp.router?.onLinkUp(now, port.id);
    port.flush();
    this.events.onLinkCount(this.segment.ports.size);
  }

  onPortDown(now: Instant, port: LinkPort): void {
    this.neighbors.detach(now, port);
    this.departures.add(now, port.guest);
    this.ipv6?.ndp.router?.onLinkDown(port.id);
    this.events.onLinkDown?.(now, port.id);
    this.events.onLinkCount(this.segment.ports.size);
  }

  // --- UpperLayers ---

  onTcp(now: Instant, packet: Packet): void {
    this.tcp.onPacket(now, packet);
  }

  onUdp(now: Instant, packet: Packet, port: LinkPort, toGateway: boolean): void {
    const dhcp = packet.family === 4 ? this.dhcp : this.ipv6?.dhcp;
    if (dhcp !== undefined && (packet.group || toGateway) && dhcp.takes(packet)) {
      dhcp.onPacket(now, packet, port);
    } else this.udp.onPacket(now, packet, toGateway);
  }

  // --- TcpErrorSink ---

  onPathMtu(now: Instant, from: Guest, key: Int32Array, quotedSeq: Seq, mtu: number): void {
    this.tcp.onPathMtu(now, from, key, quotedSeq, mtu);
  }

  onUnreachable(from: Guest, key: Int32Array, quotedSeq: Seq, hard: boolean): void {
    this.tcp.onUnreachable(from, key, quotedSeq, hard);
  }
}
