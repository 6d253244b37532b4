/**
 * The Ethernet segment that all guests are on: a learning switch (IEEE 802.1D §7) with the stack as
 * one more station. With a single guest it costs two comparisons a frame.
 */
import type { Counters } from '../base/counters.ts';
import { makeSlab, type Slab } from '../base/slab.ts';
import type { Instant } from '../base/time.ts';
import {
  ETHERNET_DST,
  ETHERNET_HEADER_LEN,
  ETHERNET_SRC,
  MAX_VLAN_TAGS,
  VLAN_TAG_LEN,
} from '../wire/ethernet.ts';
import { isGroupMac, type Mac, readMac } from '../wire/mac.ts';
import type { StackDrop } from './drops.ts';
import { forwardFrame } from './forward.ts';
import { Frame } from './frame.ts';
import type { GuestTable } from './guest-table.ts';
import type { FrameForwarder } from './ipv6/relay.ts';
import { ipv4GroupOf, NO_GROUP } from './joined-groups.ts';
import { type FrameReader, type FrameWriter, type LinkAcceptor, listenerOf } from './link.ts';
import { LinkPort, type PortOwner } from './link-port.ts';
import type { OwnAddresses } from './own-addresses.ts';
import { hasSumInside, Segmentation } from './segmentation.ts';
import type { AddressBindings } from './separation/address-bindings.ts';
import { AttemptReader, type GuestAttempt } from './separation/guest-attempt.ts';
import type { PassageDrop } from './separation/passage.ts';
import { SegmentRules } from './separation/segment-rules.ts';
import { type AllowedAddress, allowedOn, type SeparationConfig } from './separation/separation.ts';

const MAX_PORTS = 256;
/** A station that was silent for so long may have slept, and missed what is announced now and then. */
export const ASLEEP_MS = 60_000;
/** Of the Ethernet addresses of groups, the first two bytes of six, and the first three. */
const IPV6_GROUPS = 0x3333;
const IPV4_GROUPS = 0x01_005e;
const ALL_NODES: Mac = 0x3333_0000_0001;
const MAX_FRAME = 65_535 + ETHERNET_HEADER_LEN + MAX_VLAN_TAGS * VLAN_TAG_LEN;

/** Decisions that the segment leaves to its owner. */
export interface SegmentOwner {
  /** A frame for our station, or for all. */
  onOwnFrame(now: Instant, port: LinkPort, frame: Frame): void;
  /** A station was heard that had been silent for long: it may have slept. */
  onAwake(now: Instant, port: LinkPort, mac: Mac): void;
  /** A frame of `port` was dropped: for an address of another, or for what may not pass between guests. */
  onRefused(port: LinkPort, reason: PassageDrop): void;
  /** A guest on `port` tries another, where a policy has something to say about that. */
  onAttempt(port: LinkPort, attempt: Readonly<GuestAttempt>): void;
  /** A frame of `port` was dropped: the guest that it is for may not take one as long. */
  onTooBig(now: Instant, port: LinkPort, frame: Frame): void;
  /** Ask which groups of a family the guests on `port` have joined. */
  askGroups(port: LinkPort, family: 4 | 6): void;
  onBatchEnd(now: Instant): void;
  onPortUp(now: Instant, port: LinkPort): void;
  onPortDown(now: Instant, port: LinkPort): void;
}

export class EthernetSegment implements LinkAcceptor, PortOwner, FrameForwarder {
  readonly ports: Set<LinkPort> = new Set();
  private readonly portsById = new Map<number, LinkPort>();
  /** `ports`, for the end of each batch: an array is walked without an iterator. */
  private flushed: readonly LinkPort[] = [];
  private readonly ours: Mac;
  private readonly owner: SegmentOwner;
  private readonly drops: Counters<StackDrop>;
  private readonly guests: GuestTable;
  private readonly bindings: AddressBindings;
  readonly rules: SegmentRules;
  private readonly allowed: readonly AllowedAddress[];
  /** What every guest takes. */
  private readonly maxLen: number;
  private readonly attempts = new AttemptReader();
  private readonly segmentation = new Segmentation();
  /** The datagram in service of those that came in one frame. */
  private readonly piece = new Frame();
  private readonly pieceSlab: Slab = makeSlab(MAX_FRAME);
  private nextId = 1;
  private readonly snoops = { 4: true, 6: true };

  constructor(
    own: OwnAddresses,
    mtu: number,
    bindings: AddressBindings,
    separation: SeparationConfig,
    owner: SegmentOwner,
    drops: Counters<StackDrop>,
    guests: GuestTable,
  ) {
    this.ours = own.mac;
    this.maxLen = mtu + ETHERNET_HEADER_LEN + MAX_VLAN_TAGS * VLAN_TAG_LEN;
    this.bindings = bindings;
    this.rules = new SegmentRules(own, separation.mode, bindings);
    this.allowed = separation.allowed;
    this.owner = owner;
    this.drops = drops;
    this.guests = guests;
  }

  attach(
    now: Instant,
    name: string,
    writer: FrameWriter,
    listener: string = listenerOf(name),
    uid?: number,
  ): FrameReader | undefined {
    if (this.ports.size >= MAX_PORTS) {
      this.drops.add('link-table-full');
      return undefined;
    }
    const guest = this.guests.attach(now, listener, uid);
    if (guest === undefined) {
      this.drops.add('link-listener-full');
      return undefined;
    }
    const allowed = allowedOn(name, this.allowed);
    const port = new LinkPort(this.nextId++, name, writer, this, guest, now, allowed);
    this.ports.add(port);
    this.flushed = [...this.ports];
    this.portsById.set(port.id, port);
    this.owner.onPortUp(now, port);
    return port;
  }

  /** The link of this number, while it is attached. */
  portOf(id: number): LinkPort | undefined {
    return this.portsById.get(id);
  }

  /** Not every member of a group says so: frames to groups of the family go everywhere from here on. */
  stopSnooping(family: 4 | 6): void {
    this.snoops[family] = false;
  }

  hasStation(mac: Mac): boolean {
    return this.bindings.linkOf(mac) >= 0;
  }

  flush(): void {
    for (const port of this.flushed) port.flush();
  }

  onPortFrame(now: Instant, port: LinkPort, frame: Frame): void {
    const { slab, off, len } = frame;
    if (len < ETHERNET_HEADER_LEN) {
      this.drops.add('frame-truncated');
      return;
    }
    if (len > MAX_FRAME) {
      this.drops.add('frame-oversized');
      return;
    }
    if (frame.checksum === 'partial' && !hasSumInside(frame)) {
      this.drops.add('frame-bad-offload');
      return;
    }
    if (frame.gsoType === 'udp') {
      this.onDatagrams(now, port, frame);
      return;
    }
    const { view } = slab;
    const src = readMac(view, off + ETHERNET_SRC);
    const { rules } = this;
    const { addresses } = port;
    if (src !== addresses.lastEthernet) {
      const fault = rules.ethernetFault(now, addresses, src);
      if (fault !== undefined) {
        this.refuse(port, fault);
        return;
      }
      this.guests.hear(port, src);
    }
    if (len > port.longestLen && frame.gsoSize === 0) port.longestLen = len;
    const fault = rules.sourceFault(now, addresses, frame);
    if (fault !== undefined) {
      this.refuse(port, fault);
      return;
    }
    this.hear(now, port);
    const dst = readMac(view, off + ETHERNET_DST);
    if (dst === this.ours) {
      this.owner.onOwnFrame(now, port, frame);
      return;
    }
    const group = isGroupMac(dst);
    this.noteAttempt(port, frame, group);
    if (this.ports.size > 1 && this.mayPass(now, port, frame, group)) {
      if (isIpv4GroupMac(dst)) this.flood(now, port, frame, ipv4GroupOf(dst), 4);
      else if (group) this.flood(now, port, frame, ipv6GroupOf(dst));
      else {
        if (dst !== port.lastDst || port.dstEpoch !== this.bindings.epoch) this.findDst(port, dst);
        if (port.dstPort === undefined) this.flood(now, port, frame, NO_GROUP);
        else if (port.dstPort !== port) this.switchTo(now, port.dstPort, port, frame);
      }
    }
    if (group) this.owner.onOwnFrame(now, port, frame);
  }

  onPortBatchEnd(now: Instant): void {
    this.owner.onBatchEnd(now);
  }

  onPortDown(now: Instant, port: LinkPort): void {
    this.ports.delete(port);
    this.flushed = [...this.ports];
    this.portsById.delete(port.id);
    this.bindings.release(now, port.addresses, this.nextId - 1, this.ports.size === 0);
    for (const other of this.ports) if (other.dstPort === port) other.forgetDst();
    this.owner.onPortDown(now, port);
    this.guests.detach(now, port.guest);
  }

  mayRelay(now: Instant, from: LinkPort, frame: Frame): boolean {
    this.noteAttempt(from, frame, false);
    return this.mayPass(now, from, frame, false);
  }

  /** A frame came of the station that `port` heard last. */
  private hear(now: Instant, port: LinkPort): void {
    const { lastStation, lastEthernet } = port.addresses;
    if (lastStation === undefined) return;
    const silentMs = now - lastStation.heardAt;
    lastStation.heardAt = now;
    if (silentMs >= ASLEEP_MS) this.owner.onAwake(now, port, lastEthernet);
  }

  private noteAttempt(port: LinkPort, frame: Frame, group: boolean): void {
    const { policed } = this.rules;
    if (policed === 'free') return;
    const attempt = this.attempts.read(frame, !group && policed === 'isolated');
    if (attempt !== undefined) this.owner.onAttempt(port, attempt);
  }

  private mayPass(now: Instant, port: LinkPort, frame: Frame, group: boolean): boolean {
    const { rules } = this;
    if (!rules.mayForward) {
      if (!group) this.refuse(port, 'guest-isolated'); // a frame to a group is for us as well
      return false;
    }
    const fault = rules.passageFault(now, port.addresses, frame);
    if (fault === undefined) return true;
    this.refuse(port, fault);
    return false;
  }

  private switchTo(now: Instant, to: LinkPort, from: LinkPort, frame: Frame): void {
    if (this.takes(to, frame)) {
      this.forward(to, frame);
      return;
    }
    this.drops.add('frame-above-mtu');
    this.owner.onTooBig(now, from, frame);
  }

  /** Frames above the MTU go to guests that send some themselves. */
  private takes(to: LinkPort, { len, gsoSize, headerLen }: Frame): boolean {
    const wholeLen = gsoSize > 0 ? headerLen + gsoSize : len;
    return wholeLen <= this.maxLen || wholeLen <= to.longestLen;
  }

  private findDst(port: LinkPort, dst: Mac): void {
    port.lastDst = dst;
    port.dstEpoch = this.bindings.epoch;
    port.dstPort = this.portsById.get(this.bindings.linkOf(dst));
  }

  /** @param group as `joined-groups.ts` knows it */
  private flood(
    now: Instant,
    port: LinkPort,
    frame: Frame,
    group: number,
    family: 4 | 6 = 6,
  ): void {
    if (!port.guest.flooded.take(now)) {
      this.drops.add('frame-storm');
      return;
    }
    const isJoined = group !== NO_GROUP && this.snoops[family] && this.hasMember(group, family);
    for (const other of this.ports) {
      if (other === port) continue;
      const groups = other.groupsOf(family);
      if (group !== NO_GROUP && groups.isDue(now)) {
        groups.onAsked(now);
        this.owner.askGroups(other, family);
      }
      if (isJoined && !groups.wants(now, group)) continue;
      if (this.takes(other, frame)) this.forward(other, frame);
      else this.drops.add('frame-above-mtu');
    }
  }

  private hasMember(group: number, family: 4 | 6): boolean {
    for (const port of this.ports) if (port.groupsOf(family).has(group)) return true;
    return false;
  }

  private refuse(port: LinkPort, reason: PassageDrop): void {
    this.drops.add(reason);
    port.guest.framesRefused++;
    this.owner.onRefused(port, reason);
  }

  /** Several datagrams in one frame (UDP GSO): each is a frame of its own from here on. */
  private onDatagrams(now: Instant, port: LinkPort, frame: Frame): void {
    const { segmentation, piece, pieceSlab } = this;
    if (!segmentation.plan(frame)) {
      this.drops.add('frame-bad-offload');
      return;
    }
    piece.csumStart = frame.csumStart;
    piece.csumOffset = frame.csumOffset;
    piece.headerLen = segmentation.headersLen;
    for (let i = 0; i < segmentation.count && port.up; i++) {
      segmentation.emitPartial(i, pieceSlab, 0);
      piece.set(pieceSlab, 0, segmentation.pieceLen(i)).checksum = 'partial';
      this.onPortFrame(now, port, piece);
    }
  }

  forward(port: LinkPort, frame: Frame): void {
    if (!forwardFrame(port, frame, this.segmentation)) this.drops.add('frame-forward-failed');
  }
}

/** RFC 2464 §7; all nodes are no group: nobody joins it. */
const ipv6GroupOf = (dst: Mac): number =>
  Math.floor(dst / 0x1_0000_0000) === IPV6_GROUPS && dst !== ALL_NODES ? dst | 0 : NO_GROUP;

/** RFC 1112 §6.4. */
const isIpv4GroupMac = (dst: Mac): boolean => Math.floor(dst / 0x100_0000) === IPV4_GROUPS;
