/**
 * One guest by several connections at once. A client of VPNKit may connect twice with one UUID: RootlessKit's parent makes
 * a connection, takes an address by it and never reads it again, while its child carries the traffic by another. To the
 * segment both are one link.
 *
 * What the guest sends counts whichever connection it came by. Frames for it go where it was heard last, which is the
 * connection that pushes back; frames for all go to each, and are dropped where one does not drain.
 *
 * A guest is sent nothing before it has said something, as with VPNKit, or a while has passed: the Go package, which asks
 * for an address first, sends again what it has received last in place of what it asked. Until then a few frames are held.
 */
import type { Slab } from '../../base/slab.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { Frame, FrameWork } from '../../stack/frame.ts';
import type { FrameReader, FrameWriter, LinkAcceptor } from '../../stack/link.ts';
import { ETHERNET_DST } from '../../wire/ethernet.ts';
import { isGroupMac, readMac } from '../../wire/mac.ts';
import type { LinkStats } from '../link-stats.ts';
import { HeldFrames } from './held-frames.ts';

export interface TwinsDeps {
  readonly segment: LinkAcceptor;
  readonly clock: Pick<Clock, 'now'>;
  /** Of the other guests' for this one, bytes. */
  readonly longestFrame: number;
  readonly stats: LinkStats;
  /** How long a guest is waited for to speak first. */
  readonly speakMs: number;
}

export class Twins implements LinkAcceptor, FrameWriter {
  readonly offload = false;
  readonly takesLarge = true;
  readonly longestFrame: number;
  private readonly deps: TwinsDeps;
  private readonly all = new Set<Twin>();
  private reader: FrameReader | undefined = undefined;
  /** Where the guest was heard last; undefined without a connection. */
  private active: Twin | undefined = undefined;
  private reserved = -1;
  /** Until the guest is heard. */
  private held: HeldFrames | undefined = undefined;
  private timer: NodeJS.Timeout | undefined = undefined;
  /** Its first frames are being processed: what answers them goes out. */
  private isAnswering = false;

  constructor(deps: TwinsDeps) {
    this.deps = deps;
    this.longestFrame = deps.longestFrame;
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
    if (this.active === undefined) {
      this.active = twin;
      this.held = new HeldFrames();
      const { clock, speakMs } = this.deps;
      this.timer = setTimeout(() => this.onHeard(clock.now()), speakMs).unref();
    }
    this.all.add(twin);
    if (this.reader !== undefined) return twin;
    this.reader = this.deps.segment.attach(now, name, this, listener, uid);
    if (this.reader !== undefined) return twin;
    this.all.clear();
    this.active = undefined;
    this.stopHolding();
    return undefined;
  }

  // --- from the connections ---

  /** @internal */
  onFrame(now: Instant, twin: Twin, frame: Frame): void {
    if (twin !== this.active) this.activate(now, twin);
    twin.isHeard = true;
    this.isAnswering = true;
    this.reader?.onFrame(now, frame);
  }

  /** @internal */
  onBatchEnd(now: Instant): void {
    this.reader?.onBatchEnd(now);
    if (this.held !== undefined) this.onHeard(now);
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
      this.stopHolding();
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

  /** The guest has spoken, or had the time to. */
  private onHeard(now: Instant): void {
    const { held, active } = this;
    if (held === undefined || active === undefined) return;
    active.isHeard = true;
    held.sendBy(active.writer);
    this.stopHolding();
    this.reader?.onWritable(now);
  }

  private stopHolding(): void {
    clearTimeout(this.timer);
    this.held?.release();
    this.held = undefined;
    this.isAnswering = false;
  }

  /** Where frames are to be held now. */
  private get holding(): HeldFrames | undefined {
    return this.isAnswering ? undefined : this.held;
  }

  // --- from the segment ---

  get slab(): Slab {
    const { active, holding } = this;
    if (holding !== undefined) return holding.slab;
    if (active === undefined) throw new Error('a guest without a connection is not written to');
    return active.writer.slab;
  }

  get isCrowded(): boolean {
    return this.active?.writer.isCrowded === true;
  }

  reserve(maxLen: number): number {
    const { active, holding } = this;
    if (holding === undefined) this.reserved = active?.writer.reserve(maxLen) ?? -1;
    else {
      this.reserved = holding.reserve(maxLen);
      if (this.reserved < 0) this.deps.stats.drops.add('guest-not-heard');
    }
    return this.reserved;
  }

  commit(len: number): void {
    const { active, reserved, holding } = this;
    if (active === undefined) return;
    if (holding !== undefined) {
      holding.commit(len);
      return;
    }
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
        this.deps.stats.drops.add('guest-queue-full');
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
