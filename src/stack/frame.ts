/**
 * The metadata of a frame between a link and the stack, modelled on the virtio-net header
 * (virtio 1.2 §5.1.6). One record per link, reused for each frame; nothing of it
 * may be kept.
 */
import { makeSlab, type Slab } from '../base/slab.ts';

/**
 * What a link knows of the upper layer's checksum. `valid` was verified by someone who can be
 * believed, or never left the machine. `partial` is not computed yet: its field holds the sum of the
 * pseudo-header (folded, not inverted).
 */
export type FrameChecksum = 'unknown' | 'valid' | 'partial';

/** How a frame is segmented: as TCP over IPv4 or IPv6, or as UDP datagrams of either family. */
export type GsoType = 'none' | 'tcp4' | 'tcp6' | 'udp';

/** Work left to the receiver of a frame. */
export interface FrameWork {
  /** Where the sum begins: the upper-layer header, from the frame's start. */
  readonly csumStart: number;
  /** Where the checksum stands, from `csumStart`. */
  readonly csumOffset: number;
  readonly gsoType: GsoType;
  /** Payload bytes of each segment; 0 where the frame is one segment. */
  readonly gsoSize: number;
  /** Bytes of headers to be repeated before each segment. */
  readonly headerLen: number;
}

/** Bytes `off` to `off + len` of `slab`, which is borrowed for the call that passes the record. */
export class Frame implements FrameWork {
  slab: Slab = makeSlab(0);
  off = 0;
  len = 0;
  checksum: FrameChecksum = 'unknown';
  csumStart = 0;
  csumOffset = 0;
  gsoType: GsoType = 'none';
  gsoSize = 0;
  headerLen = 0;

  /** Point to a frame of which nothing is known. */
  set(slab: Slab, off: number, len: number): this {
    this.slab = slab;
    this.off = off;
    this.len = len;
    this.checksum = 'unknown';
    this.gsoType = 'none';
    this.gsoSize = 0;
    return this;
  }
}
