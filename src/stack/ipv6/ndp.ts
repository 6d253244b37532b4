/**
 * Neighbor Discovery on the segment (RFC 4861): answers for our addresses, asks for guests', hears routers' clients.
 *
 * Our addresses are defended against those who would have them (RFC 4862 §5.4.3): a probe is answered to all nodes. What
 * guests claim was judged by the segment's rules before; see `separation/source-guard.ts`.
 */
import type { Counters } from '../../base/counters.ts';
import { KEY_REMOTE } from '../../base/flow-key.ts';
import { IpAddress } from '../../base/ip-address.ts';
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { wordAt } from '../../base/word-at.ts';
import { pseudoAddressSum } from '../../wire/checksum.ts';
import { ETHERNET_HEADER_LEN, ETHERTYPE_IPV6 } from '../../wire/ethernet.ts';
import { finishIcmpv6, icmpv6Code, PROTOCOL_ICMPV6 } from '../../wire/icmpv6.ts';
import { emitIpv6, IPV6_HEADER_LEN, IPV6_SRC } from '../../wire/ipv6.ts';
import type { Mac } from '../../wire/mac.ts';
import {
  emitAdvertisement,
  emitSolicitation,
  findNdpOption,
  isOverriding,
  isSolicited,
  NDP_HOP_LIMIT,
  NDP_TARGET,
  NEIGHBOR_ADVERTISEMENT,
  NEIGHBOR_MESSAGE_LEN,
  NEIGHBOR_SOLICITATION,
  ndpLinkLayerAddress,
  REDIRECT,
  ROUTER_ADVERTISEMENT,
  ROUTER_SOLICITATION,
  SOURCE_LINK_LAYER,
  TARGET_LINK_LAYER,
} from '../../wire/ndp.ts';
import type { StackDrop } from '../drops.ts';
import type { LinkPort } from '../link-port.ts';
import { emitEthernetTo, type Neighbor, type NeighborTable } from '../neighbor.ts';
import { isGuestIpv6, isIpv6Group, isOwnIpv6, type OwnIpv6 } from '../own-addresses.ts';
import type { Packet } from '../packet.ts';
import type { AddressResolver } from '../resolution.ts';
import type { SegmentRules } from '../separation/segment-rules.ts';

const ALL_NODES = new IpAddress(0xff02_0000, 0, 0, 1);
const UNSPECIFIED = new IpAddress(0, 0, 0, 0);
const HEADERS = ETHERNET_HEADER_LEN + IPV6_HEADER_LEN;
/** What fits the minimum MTU: no message of ours is longer. */
const MAX_MESSAGE = 1280 - IPV6_HEADER_LEN;

/** Writes a message from its type on, without a sum. @returns its bytes; 0: there is nothing to say */
export type NdpWriter = (out: Slab, off: number, maxLen: number) => number;

/** The router's part: hears of links, and of hosts that ask, or may have missed what was announced. */
export interface RouterService {
  onLinkUp(now: Instant, link: number): void;
  onLinkDown(link: number): void;
  /** @param from who asks; undefined: it has no address yet */
  onSolicitation(now: Instant, link: number, from: IpAddress | undefined, mac: Mac): void;
  /** A station was heard that had been silent for long. */
  onAwake(now: Instant, link: number, mac: Mac): void;
}

export interface NdpLayerDeps {
  /** A guest would have an address, and asks whether anybody has it. */
  readonly onTentative: (now: Instant, address: IpAddress) => void;
  readonly own: OwnIpv6;
  readonly mac: Mac;
  readonly neighbors: NeighborTable;
  readonly rules: SegmentRules;
  readonly drops: Counters<StackDrop>;
}

export class NdpLayer implements AddressResolver {
  router: RouterService | undefined = undefined;
  private readonly deps: NdpLayerDeps;
  private readonly target = new Int32Array(4);
  private readonly words = new Int32Array(8);

  constructor(deps: NdpLayerDeps) {
    this.deps = deps;
  }

  /** @param packet whose sum is right, and which came in no fragments */
  onMessage(now: Instant, packet: Packet, port: LinkPort, type: number): void {
    const { drops } = this.deps;
    const { view } = packet.slab;
    const { l4Off, l4Len, l3Off } = packet;
    const src = readAddress(view, l3Off + IPV6_SRC);
    const isProbe = src.equals(UNSPECIFIED);
    if (packet.ttl !== NDP_HOP_LIMIT || icmpv6Code(view, l4Off) !== 0) {
      drops.add('ndp-bad-message');
      return;
    }
    if (type === ROUTER_ADVERTISEMENT || type === REDIRECT) {
      drops.add('ndp-not-for-us'); // there is no other router
      return;
    }
    if (!isSound(packet, type, isProbe)) {
      drops.add('ndp-bad-message');
      return;
    }
    const fault = this.deps.rules.ndpFault(now, port.addresses, view, l4Off, l4Len, isProbe);
    if (fault !== undefined) {
      drops.add(fault);
      return;
    }
    switch (type) {
      case ROUTER_SOLICITATION:
        this.router?.onSolicitation(
          now,
          port.id,
          isProbe ? undefined : src,
          port.addresses.lastEthernet,
        );
        return;
      case NEIGHBOR_SOLICITATION:
        this.onSolicited(now, packet, port, src, isProbe);
        return;
      default:
        this.onAdvertised(now, packet, port);
    }
  }

  ask(port: LinkPort, address: IpAddress): void {
    this.solicit(port, address, solicitedNode(address), groupMacOf(solicitedNode(address)));
  }

  probe(port: LinkPort, { address, mac }: Neighbor): void {
    this.solicit(port, address, address, mac);
  }

  /** Send a message of the router to the station `mac`. */
  sendAsRouter(port: LinkPort, to: IpAddress, mac: Mac, write: NdpWriter): void {
    this.emit(port, mac, to, MAX_MESSAGE, write);
  }

  private onSolicited(
    now: Instant,
    packet: Packet,
    port: LinkPort,
    src: IpAddress,
    isProbe: boolean,
  ): void {
    const { own, mac, onTentative } = this.deps;
    const target = this.readTarget(packet);
    if (!isOwnIpv6(own, this.target, 0)) {
      if (isProbe) onTentative(now, target);
      return; // it asks for another guest
    }
    const { neighbor } = packet;
    const [dst, dstMac] =
      neighbor === undefined ? [ALL_NODES, groupMacOf(ALL_NODES)] : [src, neighbor.mac];
    this.emit(
      port,
      dstMac,
      dst,
      NEIGHBOR_MESSAGE_LEN,
      ({ view }, off) => {
        emitAdvertisement(view, off, target, mac, !isProbe);
        return NEIGHBOR_MESSAGE_LEN;
      },
      target,
    );
  }

  /** Its target is the guest's (RFC 9131: known before it is asked for). */
  private onAdvertised(now: Instant, packet: Packet, port: LinkPort): void {
    const { own, neighbors, drops } = this.deps;
    const target = this.readTarget(packet);
    if (!isGuestIpv6(own, this.target, 0)) return;
    const neighbor = neighbors.obtain(now, target);
    if (neighbor === undefined) {
      drops.add('neighbor-table-full');
      return;
    }
    const { view } = packet.slab;
    const { l4Off, l4Len } = packet;
    const option = findNdpOption(view, NEIGHBOR_ADVERTISEMENT, l4Off, l4Len, TARGET_LINK_LAYER);
    const mac = option > 0 ? ndpLinkLayerAddress(view, option) : port.addresses.lastEthernet;
    const isElsewhere = neighbor.port !== undefined && neighbor.mac !== mac;
    if (isElsewhere && !isOverriding(view, l4Off)) return; // RFC 4861 §7.2.5
    neighbors.learn(now, neighbor, mac, port);
  }

  private readTarget({ slab: { view }, l4Off }: Packet): IpAddress {
    const { target } = this;
    for (let i = 0; i < 4; i++) target[i] = view.getInt32(l4Off + NDP_TARGET + 4 * i);
    return readAddress(view, l4Off + NDP_TARGET);
  }

  private solicit(port: LinkPort, target: IpAddress, dst: IpAddress, dstMac: Mac): void {
    const { mac } = this.deps;
    this.emit(port, dstMac, dst, NEIGHBOR_MESSAGE_LEN, ({ view }, off) => {
      emitSolicitation(view, off, target, mac);
      return NEIGHBOR_MESSAGE_LEN;
    });
  }

  private emit(
    port: LinkPort,
    dstMac: Mac,
    dst: IpAddress,
    room: number,
    write: NdpWriter,
    src: IpAddress = this.deps.own.linkLocal,
  ): void {
    const off = port.writer.reserve(HEADERS + room);
    if (off < 0) {
      this.deps.drops.add('out-link-full');
      return;
    }
    const { slab } = port.writer;
    const { view } = slab;
    const l4 = off + HEADERS;
    const len = write(slab, l4, room);
    if (len === 0) {
      port.writer.commit(0);
      return;
    }
    emitEthernetTo(view, off, dstMac, this.deps.mac, ETHERTYPE_IPV6);
    emitIpv6(view, off + ETHERNET_HEADER_LEN, src, dst, PROTOCOL_ICMPV6, NDP_HOP_LIMIT, len);
    finishIcmpv6(view, l4, len, this.sumOf(src, dst));
    port.writer.commit(HEADERS + len);
    port.sent(HEADERS + len);
  }

  private sumOf(src: IpAddress, dst: IpAddress): number {
    const { words } = this;
    words.set([src.a, src.b, src.c, src.d, dst.a, dst.b, dst.c, dst.d]);
    return pseudoAddressSum(words, 0, 4, 6, PROTOCOL_ICMPV6);
  }
}

const readAddress = (view: DataView, at: number): IpAddress =>
  new IpAddress(
    view.getInt32(at),
    view.getInt32(at + 4),
    view.getInt32(at + 8),
    view.getInt32(at + 12),
  );

/** RFC 4291 §2.7.1 */
const solicitedNode = ({ d }: IpAddress): IpAddress =>
  new IpAddress(0xff02_0000, 0, 1, 0xff00_0000 | (d & 0xff_ffff));

/** RFC 2464 §7 */
const groupMacOf = ({ d }: IpAddress): Mac => 0x3333_0000_0000 + (d >>> 0);

/** RFC 4861 §6.1.1, §7.1: what else is checked of a message of a host. */
function isSound(packet: Packet, type: number, isProbe: boolean): boolean {
  const { slab, l4Off, l4Len, key } = packet;
  const { view } = slab;
  const source = findNdpOption(view, type, l4Off, l4Len, SOURCE_LINK_LAYER);
  if (source < 0 || (isProbe && source > 0)) return false;
  if (type === ROUTER_SOLICITATION) return true;
  if (isIpv6Group(view.getInt32(l4Off + NDP_TARGET))) return false;
  if (type === NEIGHBOR_SOLICITATION) return !isProbe || isSolicitedNode(key);
  return !isProbe && !(isIpv6Group(wordAt(key, KEY_REMOTE)) && isSolicited(view, l4Off));
}

/** ff02::1:ff00:0/104 */
const isSolicitedNode = (key: Int32Array): boolean =>
  key[KEY_REMOTE] === ALL_NODES.a &&
  key[KEY_REMOTE + 1] === 0 &&
  key[KEY_REMOTE + 2] === 1 &&
  wordAt(key, KEY_REMOTE + 3) >>> 24 === 0xff;
