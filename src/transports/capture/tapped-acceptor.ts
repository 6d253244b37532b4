/**
 * A tap on the guests' segment: what links deliver, and what is sent to them, is shown to an observer as it passes. It
 * stands between transports and the stack only while somebody captures: a network without one has none of its cost.
 *
 * A frame from guest to guest is shown once, as its sender sends it. Work that is left to the receiver is described to the
 * observer, who completes it.
 */
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { Frame, type FrameWork } from '../../stack/frame.ts';
import type { FrameReader, FrameWriter, LinkAcceptor } from '../../stack/link.ts';
import { ETHERNET_SRC } from '../../wire/ethernet.ts';
import { type Mac, readMac } from '../../wire/mac.ts';
import { MAX_FRAME_LEN } from '../framing.ts';

export interface FrameObserver {
  /** @param frame is borrowed until the return */
  onFrame(now: Instant, frame: Frame): void;
}

export class TappedAcceptor implements LinkAcceptor {
  private readonly inner: LinkAcceptor;
  private readonly observer: FrameObserver;
  private readonly ours: Mac;
  private readonly now: () => Instant;

  /** @param ours the stack's own Ethernet address */
  constructor(inner: LinkAcceptor, observer: FrameObserver, ours: Mac, now: () => Instant) {
    this.inner = inner;
    this.observer = observer;
    this.ours = ours;
    this.now = now;
  }

  attach(
    now: Instant,
    name: string,
    writer: FrameWriter,
    listener?: string,
    uid?: number,
  ): FrameReader | undefined {
    const { inner, observer, ours } = this;
    const tapped = new TappedWriter(writer, observer, ours, this.now);
    const reader = inner.attach(now, name, tapped, listener, uid);
    return reader && new TappedReader(reader, observer);
  }
}

class TappedReader implements FrameReader {
  private readonly inner: FrameReader;
  private readonly observer: FrameObserver;

  constructor(inner: FrameReader, observer: FrameObserver) {
    this.inner = inner;
    this.observer = observer;
  }

  onFrame(now: Instant, frame: Frame): void {
    this.observer.onFrame(now, frame);
    this.inner.onFrame(now, frame);
  }

  onBatchEnd(now: Instant): void {
    this.inner.onBatchEnd(now);
  }

  onWritable(now: Instant): void {
    this.inner.onWritable(now);
  }

  onLinkDown(now: Instant): void {
    this.inner.onLinkDown(now);
  }
}

class TappedWriter implements FrameWriter {
  readonly offload: boolean;
  readonly takesLarge: boolean;
  readonly longestFrame: number;
  private readonly inner: FrameWriter;
  private readonly observer: FrameObserver;
  private readonly ours: Mac;
  private readonly now: () => Instant;
  private readonly frame = new Frame();
  /** Of the last reservation. */
  private at = -1;

  constructor(inner: FrameWriter, observer: FrameObserver, ours: Mac, now: () => Instant) {
    this.inner = inner;
    this.observer = observer;
    this.ours = ours;
    this.now = now;
    this.offload = inner.offload;
    this.takesLarge = inner.takesLarge === true;
    this.longestFrame = inner.longestFrame ?? MAX_FRAME_LEN;
  }

  get slab(): Slab {
    return this.inner.slab;
  }

  get isCrowded(): boolean {
    return this.inner.isCrowded === true;
  }

  reserve(maxLen: number): number {
    this.at = this.inner.reserve(maxLen);
    return this.at;
  }

  commit(len: number): void {
    if (len > 0 && this.isOurs()) {
      this.observer.onFrame(this.now(), this.frame.set(this.slab, this.at, len));
    }
    this.inner.commit(len);
  }

  commitOffload(len: number, work: FrameWork): void {
    if (this.isOurs()) {
      const frame = this.frame.set(this.slab, this.at, len);
      frame.checksum = 'partial';
      frame.csumStart = work.csumStart;
      frame.csumOffset = work.csumOffset;
      frame.gsoType = work.gsoType;
      frame.gsoSize = work.gsoSize;
      frame.headerLen = work.headerLen;
      this.observer.onFrame(this.now(), frame);
    }
    this.inner.commitOffload(len, work);
  }

  flush(): void {
    this.inner.flush();
  }

  private isOurs(): boolean {
    return this.at >= 0 && readMac(this.slab.view, this.at + ETHERNET_SRC) === this.ours;
  }
}
