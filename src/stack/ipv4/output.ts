/**
 * IPv4 output: from a path and an upper-layer packet to frames on the neighbour's link.
 *
 * Use: `open` reserves a frame and writes the Ethernet and IP headers; the caller writes the upper
 * layer in place at the offset returned, then calls `commit`, `commitOffload` or `abandon`.
 * Packets above the MTU are built in `scratch` and go out through `sendScratch`.
 */
import { copyBytes } from '../../base/copy-bytes.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { pseudoAddressSum } from '../../wire/checksum.ts';
import { ETHERNET_HEADER_LEN, ETHERTYPE_IPV4 } from '../../wire/ethernet.ts';
import {
  emitIpv4,
  IPV4_DF,
  IPV4_HEADER_LEN,
  IPV4_MAX_LEN,
  IPV4_MF,
  Ipv4Fields,
} from '../../wire/ipv4.ts';
import { TCP_CHECKSUM_OFFSET } from '../../wire/tcp.ts';
import { Frame } from '../frame.ts';
import type { LinkPort } from '../link-port.ts';
import type { Neighbor, NeighborWaiter } from '../neighbor.ts';

const HOP_LIMIT = 64;

/** From a source address of ours to a neighbour. */
export interface Path {
  readonly neighbor: Neighbor;
  readonly source: IpAddress;
  readonly headerLen: number;
}

export const pathTo = (neighbor: Neighbor, source: IpAddress): Path => ({
  neighbor,
  source,
  headerLen: IPV4_HEADER_LEN,
});

/** Sum of the pseudo-header of packets on `path`, without their length. */
export function pathSum(path: Path, protocol: number): number {
  const { source, neighbor } = path;
  const { address } = neighbor;
  words.set([source.a, source.b, source.c, source.d, address.a, address.b, address.c, address.d]);
  return pseudoAddressSum(words, 0, 4, address.family, protocol);
}
const words = new Int32Array(8);

export type OutputDrop = 'out-no-link' | 'out-link-full';

/** Resolves neighbours. */
export interface Reachability {
  /** There is something to send to a neighbour without a link. */
  onUnresolved(neighbor: Neighbor): void;
  /** What was sent to a neighbour stays unanswered; `waiter` is called when it is found elsewhere. */
  onUnanswered(now: Instant, neighbor: Neighbor, waiter: NeighborWaiter): void;
}

export class IpOutput {
  readonly mtu: number;
  readonly reachability: Reachability;
  /** Where large packets are put together before they are cut: 64 KiB and headers. */
  readonly scratch: Slab = makeSlab(IPV4_MAX_LEN + 64);
  /** Where the reservation of the last `open` lies. */
  slab: Slab = this.scratch;
  /** Why the last `open` returned -1. */
  drop: OutputDrop = 'out-no-link';
  /** As the last `open` wrote it. */
  private readonly header = new Ipv4Fields();
  private readonly work = new Frame();
  private port: LinkPort | undefined = undefined;
  private family: 4 | 6 = 4;
  private frameOff = 0;
  private identification = 1;

  constructor(mtu: number, reachability: Reachability) {
    this.mtu = mtu;
    this.reachability = reachability;
    this.header.ttl = HOP_LIMIT;
    this.work.csumOffset = TCP_CHECKSUM_OFFSET;
  }

  /**
   * @param l4Len upper-layer header and payload in bytes
   * @param fragment flags and offset word of the IPv4 header
   * @returns offset of the upper-layer header in `slab`; -1 when nothing can be sent, see `drop`
   */
  open(path: Path, protocol: number, l4Len: number, fragment: number = IPV4_DF): number {
    const { neighbor, headerLen } = path;
    const port = neighbor.port;
    if (port === undefined || !port.up) {
      this.drop = 'out-no-link';
      this.reachability.onUnresolved(neighbor);
      return -1;
    }
    const off = port.writer.reserve(ETHERNET_HEADER_LEN + headerLen + l4Len);
    if (off < 0) {
      this.drop = 'out-link-full';
      return -1;
    }
    this.port = port;
    this.family = neighbor.address.family;
    this.slab = port.writer.slab;
    this.frameOff = off;
    neighbor.emitEthernet(this.slab.view, off, ETHERTYPE_IPV4);
    const { header } = this;
    header.totalLength = headerLen + l4Len;
    // RFC 6864 §4.1: an atomic datagram's identification means nothing.
    header.identification = fragment === IPV4_DF ? 0 : this.identification;
    header.fragment = fragment;
    header.protocol = protocol;
    header.src = path.source.d;
    header.dst = neighbor.address.d;
    emitIpv4(this.slab.view, off + ETHERNET_HEADER_LEN, header);
    return off + ETHERNET_HEADER_LEN + headerLen;
  }

  /** The upper layer turned out to be `l4Len` bytes long, shorter than passed to `open`. */
  shorten(path: Path, l4Off: number, l4Len: number): void {
    this.header.totalLength = path.headerLen + l4Len;
    emitIpv4(this.slab.view, l4Off - path.headerLen, this.header);
  }

  /** Queue the frame whose upper layer ends at `l4End`. */
  commit(l4End: number): void {
    const { port } = this;
    if (port === undefined) return;
    const len = l4End - this.frameOff;
    port.writer.commit(len);
    port.sent(len);
  }

  /** Queue a TCP frame to be summed, and cut when `gsoSize` is not 0, by the link. */
  commitOffload(l4Off: number, l4HeaderLen: number, l4End: number, gsoSize: number): void {
    const { port } = this;
    if (port === undefined) return;
    const len = l4End - this.frameOff;
    const { work } = this;
    work.csumStart = l4Off - this.frameOff;
    work.headerLen = work.csumStart + l4HeaderLen;
    work.gsoType = gsoSize === 0 ? 'none' : this.family === 4 ? 'tcp4' : 'tcp6';
    work.gsoSize = gsoSize;
    port.writer.commitOffload(len, work);
    port.sent(len);
  }

  /**
   * Send the upper-layer packet that stands at the start of `scratch`, in as many fragments as the
   * MTU asks for.
   *
   * @returns false when it was dropped, see `drop`; fragments sent before are then lost with it
   */
  sendScratch(path: Path, protocol: number, l4Len: number): boolean {
    const room = this.mtu - path.headerLen;
    const { bytes } = this.scratch;
    // New even when sending fails half way: the guest holds the pieces that were sent.
    this.identification = (this.identification + 1) & 0xffff;
    if (l4Len <= room) {
      const off = this.open(path, protocol, l4Len, 0);
      if (off < 0) return false;
      copyBytes(bytes, 0, this.slab.bytes, off, l4Len);
      this.commit(off + l4Len);
      return true;
    }
    const step = room & ~7; // RFC 791: fragments are cut at multiples of eight bytes
    for (let at = 0; at < l4Len; at += step) {
      const len = Math.min(step, l4Len - at);
      const more = at + len < l4Len ? IPV4_MF : 0;
      const off = this.open(path, protocol, len, (at >> 3) | more);
      if (off < 0) return false;
      copyBytes(bytes, at, this.slab.bytes, off, len);
      this.commit(off + len);
    }
    return true;
  }
}
