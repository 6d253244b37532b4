/**
 * IP output: from a path and an upper-layer packet to frames on the neighbour's link.
 *
 * Use: `open` reserves a frame and writes the Ethernet and IP headers; the caller writes the upper
 * layer in place at the offset returned, then calls `commit`, `commitOffload` or `abandon`.
 * Packets above the MTU are built in `scratch` and go out through `sendScratch`.
 */
import { copyBytes } from '../base/copy-bytes.ts';
import type { IpAddress } from '../base/ip-address.ts';
import { makeSlab, type Slab } from '../base/slab.ts';
import type { Instant } from '../base/time.ts';
import { ETHERNET_HEADER_LEN } from '../wire/ethernet.ts';
import { IPV4_MAX_LEN } from '../wire/ipv4.ts';
import { TCP_CHECKSUM_OFFSET } from '../wire/tcp.ts';
import { Frame, type GsoType } from './frame.ts';
import type { LinkPort } from './link-port.ts';
import type { Neighbor, NeighborWaiter } from './neighbor.ts';
import { flowLabelOf, type Path, pathTo } from './path.ts';

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
  private readonly labelSecret: number;
  private readonly work = new Frame();
  private port: LinkPort | undefined = undefined;
  private gsoType: GsoType = 'none';
  private frameOff = 0;
  private readonly piece = { identification: 1, at: 0, more: false };

  /** @param labelSecret keys the labels of flows */
  constructor(mtu: number, reachability: Reachability, labelSecret: number) {
    this.mtu = mtu;
    this.labelSecret = labelSecret;
    this.reachability = reachability;
    this.work.csumOffset = TCP_CHECKSUM_OFFSET;
  }

  /** The path of a flow from `source`, with its label. */
  flowPath(neighbor: Neighbor, source: IpAddress, guestPort: number, remotePort: number): Path {
    return pathTo(neighbor, source, this.flowLabel(source, guestPort, remotePort));
  }

  /** What packets of a flow from `source` have; nobody else can tell it. */
  flowLabel(source: IpAddress, guestPort: number, remotePort: number): number {
    return flowLabelOf(this.labelSecret, source, (guestPort << 16) | remotePort);
  }

  /**
   * @param l4Len upper-layer header and payload in bytes
   * @returns offset of the upper-layer header in `slab`; -1 when nothing can be sent, see `drop`
   */
  open(path: Path, protocol: number, l4Len: number): number {
    const off = this.reserve(path, path.headerLen + l4Len);
    if (off < 0) return -1;
    path.ip.emit(this.slab.view, off, path, protocol, l4Len);
    return off + path.headerLen;
  }

  /** The upper layer turned out to be `l4Len` bytes long, shorter than passed to `open`. */
  shorten(path: Path, protocol: number, l4Off: number, l4Len: number): void {
    path.ip.emit(this.slab.view, l4Off - path.headerLen, path, protocol, l4Len);
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
    work.gsoType = gsoSize === 0 ? 'none' : this.gsoType;
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
    const { ip, headerLen, neighbor } = path;
    const room = Math.min(this.mtu, neighbor.pathMtu) - headerLen;
    const { piece } = this;
    // New even when sending fails half way: the guest holds the pieces that were sent.
    piece.identification = (piece.identification + 1) | 0;
    if (l4Len <= room) return this.sendPiece(path, protocol, 0, l4Len, false, headerLen);
    const step = (room - ip.fragmentHeaderLen) & ~7; // fragments are cut at multiples of eight bytes
    const headersLen = headerLen + ip.fragmentHeaderLen;
    for (let at = 0; at < l4Len; at += step) {
      const len = Math.min(step, l4Len - at);
      if (!this.sendPiece(path, protocol, at, len, at + len < l4Len, headersLen)) return false;
    }
    return true;
  }

  private sendPiece(
    path: Path,
    protocol: number,
    at: number,
    len: number,
    more: boolean,
    headersLen: number,
  ): boolean {
    const off = this.reserve(path, headersLen + len);
    if (off < 0) return false;
    const { piece, slab } = this;
    piece.at = at;
    piece.more = more;
    path.ip.emitPiece(slab.view, off, path, protocol, len, piece);
    copyBytes(this.scratch.bytes, at, slab.bytes, off + headersLen, len);
    this.commit(off + headersLen + len);
    return true;
  }

  /** @returns offset of the IP header in `slab`, behind an Ethernet header; -1 when nothing can be sent */
  private reserve(path: Path, len: number): number {
    const { neighbor, ip } = path;
    const { port } = neighbor;
    if (port === undefined || !port.up) {
      this.drop = 'out-no-link';
      this.reachability.onUnresolved(neighbor);
      return -1;
    }
    const off = port.writer.reserve(ETHERNET_HEADER_LEN + len);
    if (off < 0) {
      this.drop = 'out-link-full';
      return -1;
    }
    this.port = port;
    this.gsoType = ip.gsoType;
    this.slab = port.writer.slab;
    this.frameOff = off;
    neighbor.emitEthernet(this.slab.view, off, ip.etherType);
    return off + ETHERNET_HEADER_LEN;
  }
}
