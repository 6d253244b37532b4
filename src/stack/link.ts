import type { Slab } from '../base/slab.ts';
import type { Instant } from '../base/time.ts';
import type { Frame, FrameWork } from './frame.ts';

/** Where the stack writes frames for the guests of one link. Implemented by transports. */
export interface FrameWriter {
  /** The slab that {@link reserve} offsets refer to; read it again after every {@link reserve}. */
  readonly slab: Slab;
  /**
   * Whether {@link commitOffload} may be used: the guest's kernel sums frames itself and cuts those of
   * TCP above the MTU, of both families (virtio-net).
   */
  readonly offload: boolean;
  /** Its guests may send packets above the MTU: what they cut is not for us to say. */
  readonly takesLarge?: boolean;
  /** What there is room for is for the stack's own frames: those of other guests are dropped, so that they crowd none out. */
  readonly isCrowded?: boolean;
  /** Frames of other guests that are longer are dropped, bytes. Default: no frame is too long. */
  readonly longestFrame?: number;
  /** Offset of `maxLen` writable bytes in `slab`, or -1 when the guest is not draining. */
  reserve(maxLen: number): number;
  /** Queue the first `len` bytes of the last reservation as one frame; 0 abandons it. */
  commit(len: number): void;
  /**
   * Queue a frame whose checksum field holds only the (folded, not inverted) sum of the
   * pseudo-header, to be completed, and cut, by the receiver's kernel. `work` is borrowed.
   */
  commitOffload(len: number, work: FrameWork): void;
  /** Hand everything queued to the operating system, in one write. Called once per batch. */
  flush(): void;
}

/** One link's side of the stack, as its transport sees it. Implemented by the stack. */
export interface FrameReader {
  /**
   * Process one Ethernet frame. The record and its bytes are borrowed: nothing keeps a view of them
   * after the return.
   */
  onFrame(now: Instant, frame: Frame): void;
  /** A burst of frames has ended: send what it made due (ACKs, windows, data). */
  onBatchEnd(now: Instant): void;
  /** The writer drains again after {@link FrameWriter.reserve} returned -1. */
  onWritable(now: Instant): void;
  /** The guest went away; it may come back on another link. Last call. */
  onLinkDown(now: Instant): void;
}

/** @param link the name of one of its links: `qemu:/run/x.sock#3` */
export const listenerOf = (link: string): string => link.replace(/#.*$/s, '');

/** Something that accepts links: the stack's Ethernet segment. */
export interface LinkAcceptor {
  /**
   * @param name for logs and the API, e.g. `qemu:/run/x.sock#3`
   * @param listener what the link came by: all links of one share its part of every budget, and are bounded in
   *   number and rate. By default the name up to `#`
   * @param uid the user at its other end: all listeners that one user's links came by share the user's part
   * @returns the reader to feed, or undefined when there are too many links
   */
  attach(
    now: Instant,
    name: string,
    writer: FrameWriter,
    listener?: string,
    uid?: number,
  ): FrameReader | undefined;
}

/** The stack's only use of time. */
export interface Timed {
  /** The next moment {@link onTimeout} has work, or `NEVER`. May be early, never late. */
  nextTimeout(): Instant;
  onTimeout(now: Instant): void;
}
