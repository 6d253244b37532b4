/**
 * One guest by several connections at once. A client of VPNKit may connect twice with one UUID: RootlessKit's parent makes
 * a connection, takes an address by it and never reads it again, while its child carries the traffic by another. To the
 * segment both are one link.
 *
 * What the guest sends counts whichever connection it came by. Frames for it go where it was heard last, which is the
 * connection that pushes back; frames for all go to each, and are dropped where one does not drain.
 *
 * A connection is sent nothing before it has sent something, as VPNKit does: its Go package, which asks for an address
 * first, sends again what it has received last in place of what it asked.
 */
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import type { Frame, FrameWork } from '../../stack/frame.ts';
import type { FrameReader, FrameWriter, LinkAcceptor } from '../../stack/link.ts';
import { ETHERNET_DST } from '../../wire/ethernet.ts';
import { isGroupMac, readMac } from '../../wire/mac.ts';
import type { LinkStats } from '../link-stats.ts';

export class Twins implements LinkAcceptor, FrameWriter {
  readonly offload = false;
  readonly takesLarge = true;
  readonly longestFrame: number;
  private readonly segment: LinkAcceptor;
  private readonly stats: LinkStats;
  private readonly all = new Set<Twin>();
  private reader: FrameReader | undefined = undefined;
  /** Where the guest was heard last; undefined without a connection. */
  private active: Twin | undefined = undefined;
  private reserved = -1;

  /** @param longestFrame of the other guests' for this one */
  constructor(segment: LinkAcceptor, longestFrame: number, stats: LinkStats) {
    this.segment = segment;
    this.longestFrame = longestFrame;
    this.stats = stats;
  }

  /** How many there are. */
  get size(): number {
    return this.all.size;
  }

  get isEmpty(): boolean {
    return this.all.size === 0;
  }

  /** Another connection; the first attaches the guest. */
  attach(
    now: Instant,
    name: string,
    writer: FrameWriter,
    listener?: string,
    uid?: number,
  ): FrameReader | undefined {
    const twin = new Twin(this, writer);
    this.active ??= twin;
    this.all.add(twin);
    if (this.reader !== undefined) return twin;
    this.reader = this.segment.attach(now, name, this, listener, uid);
    if (this.reader !== undefined) return twin;
    this.all.clear();
    this.active = undefined;
    return undefined;
  }

  // --- from the connections ---

  /** @internal */
  onFrame(now: Instant, twin: Twin, frame: Frame): void {
    if (twin !== this.active) this.activate(now, twin);
    const isFirst = !twin.isHeard;
    twin.isHeard = true;
    this.reader?.onFrame(now, frame);
    if (isFirst) this.reader?.onWritable(now);
  }

  /** @internal */
  onBatchEnd(now: Instant): void {
    this.reader?.onBatchEnd(now);
  }

  /** @internal */
  onWritable(now: Instant, twin: Twin): void {
    if (twin === this.active) this.reader?.onWritable(now);
  }

  /** @internal */
  onDown(now: Instant, twin: Twin): void {
    this.all.delete(twin);
    const { reader } = this;
    if (this.all.size === 0) {
      this.active = undefined;
      this.reader = undefined;
      reader?.onLinkDown(now);
      return;
    }
    if (twin !== this.active) return;
    for (const youngest of this.all) this.active = youngest;
    reader?.onWritable(now);
  }

  private activate(now: Instant, twin: Twin): void {
    this.active?.writer.flush();
    this.active = twin;
    this.reader?.onWritable(now); // what waited for the other need not wait for this one
  }

  // --- from the segment ---

  get slab(): Slab {
    const { active } = this;
    if (active === undefined) throw new Error('a guest without a connection is not written to');
    return active.writer.slab;
  }

  get isCrowded(): boolean {
    return this.active?.writer.isCrowded === true;
  }

  reserve(maxLen: number): number {
    const { active } = this;
    if (active?.isHeard === false) this.stats.drops.add('guest-not-heard');
    this.reserved = active?.isHeard === true ? active.writer.reserve(maxLen) : -1;
    return this.reserved;
  }

  commit(len: number): void {
    const { active, reserved } = this;
    if (active === undefined) return;
    if (len > 0 && this.all.size > 1) this.copyToOthers(active, reserved, len);
    active.writer.commit(len);
  }

  commitOffload(_len: number, _work: FrameWork): void {
    throw new Error('this link offloads nothing');
  }

  flush(): void {
    for (const { writer } of this.all) writer.flush();
  }

  private copyToOthers(active: Twin, off: number, len: number): void {
    const { slab } = active.writer;
    if (!isGroupMac(readMac(slab.view, off + ETHERNET_DST))) return;
    for (const { writer, isHeard } of this.all) {
      if (writer === active.writer || !isHeard) continue;
      const at = writer.isCrowded === true ? -1 : writer.reserve(len);
      if (at < 0) {
        this.stats.drops.add('guest-queue-full');
        continue;
      }
      writer.slab.bytes.set(slab.bytes.subarray(off, off + len), at);
      writer.commit(len);
    }
  }
}

/** One of the connections, as its transport sees it. */
class Twin implements FrameReader {
  isHeard = false;
  readonly writer: FrameWriter;
  private readonly twins: Twins;

  constructor(twins: Twins, writer: FrameWriter) {
    this.twins = twins;
    this.writer = writer;
  }

  onFrame(now: Instant, frame: Frame): void {
    this.twins.onFrame(now, this, frame);
  }

  onBatchEnd(now: Instant): void {
    this.twins.onBatchEnd(now);
  }

  onWritable(now: Instant): void {
    this.twins.onWritable(now, this);
  }

  onLinkDown(now: Instant): void {
    this.twins.onDown(now, this);
  }
}
