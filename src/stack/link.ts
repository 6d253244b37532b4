import type { Slab } from '../base/slab.ts';
import type { Instant } from '../base/time.ts';

/** Where the stack writes frames for the guests of one link. Implemented by transports. */
export interface FrameWriter {
  /** The slab that {@link reserve} offsets refer to; read it again after every {@link reserve}. */
  readonly slab: Slab;
  /**
   * Whether {@link commitOffload} may be used: the link takes TCP frames above the MTU and sums
   * them itself (a TAP with virtio-net headers).
   */
  readonly offload: boolean;
  /** Offset of `maxLen` writable bytes in `slab`, or -1 when the guest is not draining. */
  reserve(maxLen: number): number;
  /** Queue the first `len` bytes of the last reservation as one frame; 0 abandons it. */
  commit(len: number): void;
  /**
   * Queue a frame whose TCP checksum field holds only the (folded, not inverted) pseudo-header sum,
   * to be completed by the receiver's kernel.
   *
   * @param l4Off bytes from the frame's start to the TCP header
   * @param l4HeaderLen length of the TCP header with options
   * @param gsoSize payload bytes of each segment to cut; 0 when the frame is one segment
   * @param family of the IP header
   */
  commitOffload(
    len: number,
    l4Off: number,
    l4HeaderLen: number,
    gsoSize: number,
    family: 4 | 6,
  ): void;
  /** Hand everything queued to the operating system, in one write. Called once per batch. */
  flush(): void;
}

/** One link's side of the stack, as its transport sees it. Implemented by the stack. */
export interface FrameReader {
  /**
   * Process one Ethernet frame. `slab` is borrowed: nothing keeps a view of it after the return.
   *
   * @param trusted the link vouches for the TCP/UDP checksum (virtio: partial or already checked):
   *   it is not verified, and the frame may be larger than the MTU
   */
  onFrame(now: Instant, slab: Slab, off: number, len: number, trusted: boolean): void;
  /** A burst of frames has ended: send what it made due (ACKs, windows, data). */
  onBatchEnd(now: Instant): void;
  /** The writer drains again after {@link FrameWriter.reserve} returned -1. */
  onWritable(now: Instant): void;
  /** The guest went away; it may come back on another link. Last call. */
  onLinkDown(now: Instant): void;
}

/** Something that accepts links: the stack's Ethernet segment. */
export interface LinkAcceptor {
  /**
   * @param name for logs and the API, e.g. `qemu:/run/x.sock#3`
   * @returns the reader to feed, or undefined when the table of links is full
   */
  attach(now: Instant, name: string, writer: FrameWriter): FrameReader | undefined;
}

/** The stack's only use of time. */
export interface Timed {
  /** The next moment {@link onTimeout} has work, or `NEVER`. May be early, never late. */
  nextTimeout(): Instant;
  onTimeout(now: Instant): void;
}
