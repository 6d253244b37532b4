/**
 * Holds what a guest sends on a connection until it has said, in the clear, where it wants to go: see `StreamInspector`.
 * The host's connection is open meanwhile, and what the server sends passes, so that a protocol in which the server speaks
 * first sees no delay. Bytes are held in the flow's own ring, so what is sent on is what was inspected.
 *
 * A flow that states names no more is let go, and costs nothing from then on.
 */
import type { Claim } from '../../services/sniff/reader.ts';
import { type Inspection, StreamInspector } from '../../services/sniff/stream-inspector.ts';
import type { TcpFlow } from '../../stack/flow.ts';
import type { PumpGate } from '../stream/stream-pump.ts';
import { errorPage } from './error-page.ts';
import type { Denial, NameCheck } from './name-check.ts';

/** How long bytes may be held for what completes them. */
export const HELD_MS = 10_000;

/** The two ends of the flow. */
export interface GatedEnds {
  readonly flow: TcpFlow | undefined;
  /** This one, until it is not needed any more. */
  gate: PumpGate | undefined;
  /** The gate admits more than it did. */
  resume(): void;
  /** End both at once; the guest's behind `words`, if there are any. */
  turnAway(words: Uint8Array | undefined): void;
}

const HTTP_PORT = 80;
/** Requests that one turn of the event loop reads: a guest may send a hundred thousand at once. */
const CLAIMS_A_TURN = 256;
/** Bytes that are read without a look at their number. */
const SLICE = 16 * 1024;

export class StreamGate implements PumpGate {
  private readonly ends: GatedEnds;
  private readonly check: NameCheck;
  private readonly heldMs: number;
  private readonly inspector: StreamInspector;
  private isOver = false;
  /** Claims since the last turn that was full; and whether the next is awaited. */
  private claims = 0;
  private isFull = false;
  private denial: Denial = '';
  /** Of the bytes in the flow's ring, those that were inspected, and those that may go on. */
  private seen = 0;
  private admitted = 0;
  /** Runs while bytes are held. */
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(ends: GatedEnds, check: NameCheck, heldMs: number = HELD_MS) {
    this.ends = ends;
    this.check = check;
    this.heldMs = heldMs;
    this.inspector = new StreamInspector((claim) => this.decide(claim));
  }

  admit(isEnd: boolean): number {
    const { flow } = this.ends;
    if (flow === undefined || this.isOver) return 0;
    const before = this.admitted;
    const result = this.inspect(flow, isEnd);
    if (result === 'free') return this.free(flow);
    if (result === 'more') {
      this.admitted = this.seen - this.inspector.held;
      this.watch(this.admitted > before);
      return this.admitted;
    }
    const denial = result === 'refused' ? this.denial : this.check.onFault(result);
    if (denial === undefined) return this.free(flow);
    this.turnAway(denial);
    return 0;
  }

  released(n: number): void {
    this.seen = Math.max(0, this.seen - n);
    this.admitted = Math.max(0, this.admitted - n);
  }

  close(): void {
    this.isOver = true;
    this.stopTimer();
  }

  /** @returns the bytes that may go on: all there are */
  private free(flow: TcpFlow): number {
    this.close();
    this.ends.gate = undefined;
    return flow.receivedLen;
  }

  private inspect(flow: TcpFlow, isEnd: boolean): Inspection {
    while (this.seen < flow.receivedLen) {
      if (this.isFull) return 'more';
      const { bytes, off, len } = flow.peek(this.seen);
      const n = Math.min(len, SLICE);
      this.seen += n;
      const result = this.inspector.push(bytes, off, off + n);
      if (result !== 'more') return result;
      if (this.claims >= CLAIMS_A_TURN) this.waitForTurn();
    }
    return isEnd ? this.inspector.end() : 'more';
  }

  private waitForTurn(): void {
    this.isFull = true;
    setImmediate(() => {
      this.isFull = false;
      this.claims = 0;
      if (!this.isOver) this.ends.resume();
    });
  }

  private decide(claim: Claim): boolean {
    this.claims++;
    const denial = this.check.onClaim(claim);
    this.denial = denial ?? '';
    return denial === undefined;
  }

  private turnAway(denial: Denial): void {
    const { inspector, ends } = this;
    this.close();
    const isHttp = ends.flow?.id.remotePort === HTTP_PORT && inspector.isFirstRequest;
    ends.turnAway(isHttp ? errorPage(403, denial) : undefined);
  }

  /** @param isProgress what is held now is not what was held before */
  private watch(isProgress: boolean): void {
    if (this.inspector.held === 0) this.stopTimer();
    else if (isProgress) this.timer?.refresh();
    if (this.inspector.held > 0) this.timer ??= setTimeout(this.onLate, this.heldMs).unref();
  }

  private stopTimer(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private readonly onLate = (): void => {
    const { ends } = this;
    const denial = this.check.onFault('first-bytes-late');
    if (denial !== undefined) {
      this.turnAway(denial);
    } else if (ends.flow !== undefined) {
      this.free(ends.flow);
      ends.resume();
    }
  };
}
