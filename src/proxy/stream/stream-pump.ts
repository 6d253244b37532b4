/**
 * One {@link ByteStream} joined to one host stream: bytes, ends, resets and back-pressure in both directions. The
 * byte stream, called `flow` here, is a guest's TCP flow or a channel of the multiplexer.
 *
 * Theory of operation
 * -------------------
 * Flow to host: the flow's received ring is lent to the stream's `write`, one run at a time, and
 * released when the kernel has it, which opens the peer's window. A host that does not read leaves the
 * ring full and the window closed. Long runs that arrive while the ring is empty go to the kernel past it, as far as
 * that takes them at once. Host to flow: bytes read are copied into the flow's ring at once, or
 * read straight into it, where a flow lends its ring and the host sends much; when less than a buffer fits,
 * the stream is not read until there is room again, and the host's peer is stopped by its own window.
 *
 * An end is passed on after everything before it, a reset at once. The ring of a flow is freed with it,
 * so a stream that may still be writing from it is reset in the same step.
 */
import type { ByteStream, ByteStreamHandler } from '../../base/byte-stream.ts';
import type { Clock, Instant } from '../../base/time.ts';
import {
  type HostStream,
  type HostStreamOwner,
  READ_BUFFER,
} from '../../native/stream/host-stream.ts';
import type { FlushScheduler } from '../flush-scheduler.ts';
import type { Intake, IntakeList, IntakeSource, Intakes } from '../intake.ts';

/** How long a peer may take to end, once it was turned away. */
const FAREWELL_MS = 1000;

/** Decides how many of a flow's bytes may go to the host. Absent: all. */
export interface PumpGate {
  /**
   * May end the pump.
   *
   * @param isEnd nothing follows what was received
   * @returns how many received bytes, from the oldest on, may be written now; at the end, all of them
   */
  admit(isEnd: boolean): number;
  /** The `n` oldest were written. */
  released(n: number): void;
  /** The pump is over. */
  close(): void;
}

/** The environment that pumps share. */
export interface PumpContext {
  readonly clock: Clock;
  readonly flusher: FlushScheduler;
  /** Absent where nothing bounds what one turn reads. */
  readonly intakes?: Intakes;
}

/**
 * @param reason how the flow failed; undefined when both directions had ended, or the host's side failed
 * @param text the peer's explanation, or ''
 */
export type WhenOver<R extends string> = (reason: R | undefined, text: string) => void;

export class StreamPump<F extends ByteStream, R extends string>
  implements HostStreamOwner, ByteStreamHandler<F, R>, IntakeSource
{
  readonly startedAt: Instant;
  lastActive: Instant;
  flow: F | undefined = undefined;
  gate: PumpGate | undefined = undefined;
  private readonly context: PumpContext;
  private stream: HostStream | undefined = undefined;
  /** Bytes lent to `write`; 0 when none are. */
  private lent = 0;
  /** Lent by the flow's ring, for the stream to read into. */
  private reserved: Uint8Array | undefined = undefined;
  /** What that took, in ms: a ring that grows is copied. */
  private reserveMs = 0;
  private paused = false;
  /** Runs once the peer was turned away with words, or the host's side has failed. */
  private farewell: NodeJS.Timeout | undefined = undefined;
  private peerEnded = false;
  private ended = false;
  /** The host's side has, and what it sent before is on its way. */
  private isFailed = false;
  private over = false;
  private reason: R | undefined = undefined;
  private text = '';
  intakeList: IntakeList | undefined = undefined;
  intakeNext: IntakeSource | undefined = undefined;
  intakePrev: IntakeSource | undefined = undefined;
  private intake: Intake | undefined = undefined;
  private readonly whenOver: WhenOver<R>;

  /** @param whenOver called once, when both sides have ended */
  constructor(context: PumpContext, whenOver: WhenOver<R>) {
    this.context = context;
    this.whenOver = whenOver;
    this.startedAt = context.clock.now();
    this.lastActive = this.startedAt;
  }

  /**
   * Join a connected stream to a flow that may be opening, and may hold bytes already.
   *
   * @param intake of whoever the host's bytes are for; absent where nothing bounds what one turn reads
   */
  join(stream: HostStream, flow: F, intake?: Intake): void {
    this.intake = intake;
    this.stream = stream;
    this.flow = flow;
    stream.start(this, true);
    if (flow.sendSpace >= READ_BUFFER.length) this.read();
    else this.pause(flow);
  }

  // --- flow to host ---

  onOpen(_now: Instant): void {}

  offer(now: Instant, bytes: Uint8Array, off: number, len: number): number {
    const { stream, gate, lent } = this;
    if (stream?.tryWrite === undefined || gate !== undefined || lent > 0 || this.over) return 0;
    this.lastActive = now;
    return stream.tryWrite(bytes, off, len);
  }

  onReadable(now: Instant): void {
    this.lastActive = now;
    if (this.farewell !== undefined) this.discard(now);
    else if (this.lent === 0) this.writeToHost(now);
  }

  onPeerEnd(now: Instant): void {
    this.peerEnded = true;
    if (this.lent === 0) this.writeToHost(now);
  }

  onWritable(): void {
    if (this.isFailed) this.abort();
    if (!this.paused || this.over) return;
    this.paused = false;
    this.read();
  }

  onClosed(_now: Instant, _flow: F, reason: R, text = ''): void {
    // After both ends the host's stream finishes its pending write and closes by itself.
    if ((reason === 'finished' && this.farewell === undefined) || this.over) return;
    this.reason = reason;
    this.text = text;
    this.stream?.reset();
    this.finish();
  }

  private writeToHost(now: Instant): void {
    const { flow, stream } = this;
    if (flow === undefined || stream === undefined) return;
    while (!this.over) {
      const admitted = this.gate === undefined ? flow.receivedLen : this.gate.admit(this.peerEnded);
      if (admitted === 0) break;
      const { bytes, off, len } = flow.lend();
      this.lent = Math.min(len, admitted);
      if (!stream.write(bytes, off, this.lent)) return; // waiting, or failed
      this.written(now, flow);
    }
    if (this.peerEnded && !this.ended && !this.over && flow.receivedLen === 0) {
      this.ended = true;
      stream.end();
    }
  }

  onHostWritten(): void {
    const { flow } = this;
    if (flow === undefined || this.over) return;
    const now = this.context.clock.now();
    this.written(now, flow);
    this.context.flusher.schedule();
    this.writeToHost(now);
  }

  /** The gate may admit more than it did. */
  resume(): void {
    if (this.over || this.lent > 0) return;
    this.writeToHost(this.context.clock.now());
    this.context.flusher.schedule();
  }

  private written(now: Instant, flow: F): void {
    flow.release(now, this.lent);
    this.gate?.released(this.lent);
    this.lent = 0;
  }

  // --- host to flow ---

  onHostBytes(bytes: Uint8Array, len: number): boolean {
    const { flow } = this;
    if (flow === undefined || this.over) return false;
    const now = this.context.clock.now();
    this.lastActive = now;
    if (bytes === this.reserved) {
      this.reserved = undefined;
      flow.fill?.(now, len);
    } else {
      flow.send(now, bytes, 0, len);
    }
    this.context.flusher.schedule();
    const hasRoom = flow.sendSpace >= READ_BUFFER.length;
    if (!hasRoom) this.pause(flow);
    const { intake, reserveMs } = this;
    if (intake === undefined) return hasRoom;
    this.reserveMs = 0;
    return intake.took(this, len, this.context.clock.now() - now + reserveMs) && hasRoom;
  }

  onHostMore(): Uint8Array | undefined {
    if (this.over) return undefined;
    const { clock } = this.context;
    const began = clock.now();
    this.reserved = this.flow?.reserve?.(READ_BUFFER.length);
    this.reserveMs = clock.now() - began;
    return this.reserved;
  }

  private read(): void {
    if (this.intake === undefined) this.stream?.resume();
    else this.intake.start(this);
  }

  setReading(isReading: boolean): void {
    if (isReading) this.stream?.resume();
    else this.stream?.pause();
  }

  /** The stream is not read until the flow has room for a buffer. */
  private pause(flow: F): void {
    this.paused = true;
    this.intake?.stop(this);
    flow.wantSpace(READ_BUFFER.length);
  }

  mayHostEnd(): boolean {
    return this.over || (this.intake?.mayEnd(this) ?? true);
  }

  onHostEnd(): void {
    if (this.over) return;
    this.intake?.stop(this);
    this.flow?.shutdown(this.context.clock.now());
    this.context.flusher.schedule();
  }

  // --- the end ---

  onHostClosed(code: string | undefined): void {
    if (this.over) return;
    const { flow } = this;
    if (code !== undefined && flow !== undefined && flow.queuedLen > 0) {
      this.failLate(flow);
      return;
    }
    // Closed with an end in each direction: the flow waits for the peer's acknowledgments by itself.
    if (code !== undefined || !this.ended) flow?.abort(this.context.clock.now());
    this.context.flusher.schedule();
    this.finish();
  }

  /** Behind what was read before, as a kernel has it: the flow is reset once its peer has all of that. */
  private failLate(flow: F): void {
    this.stream = undefined;
    this.lent = 0; // it is written no more
    this.isFailed = true;
    this.intake?.stop(this);
    this.gate?.close();
    this.farewell ??= setTimeout(() => this.abort(), FAREWELL_MS).unref();
    flow.wantSpace(flow.sendSpace + flow.queuedLen);
    this.discard(this.context.clock.now());
  }

  /** End both sides at once. */
  abort(): void {
    if (this.over) return;
    this.flow?.abort(this.context.clock.now());
    this.stream?.reset();
    this.context.flusher.schedule();
    this.finish();
  }

  /**
   * Reset the host's side, and the flow; or end the flow with `words`, where there are any, and discard what its peer
   * still sends.
   */
  turnAway(words: Uint8Array | undefined): void {
    const { flow, stream } = this;
    if (this.over || this.farewell !== undefined) return;
    const isHeard = words !== undefined && flow !== undefined && flow.sendSpace >= words.length;
    if (!isHeard || this.lent > 0) {
      this.abort();
      return;
    }
    stream?.reset();
    this.stream = undefined;
    this.intake?.stop(this);
    this.gate?.close();
    this.farewell = setTimeout(() => this.abort(), FAREWELL_MS).unref();
    const now = this.context.clock.now();
    flow.send(now, words, 0, words.length);
    flow.shutdown(now);
    this.discard(now);
  }

  /** Bytes of the flow that wait here: not even lent to the stream. */
  protected get held(): number {
    return Math.max(0, (this.flow?.receivedLen ?? 0) - this.lent);
  }

  private discard(now: Instant): void {
    this.flow?.release(now, this.flow.receivedLen);
    this.context.flusher.schedule();
  }

  protected finish(): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.farewell);
    this.gate?.close();
    this.intake?.stop(this);
    this.whenOver(this.reason, this.text);
  }
}
