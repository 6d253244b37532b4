/**
 * TCP options: MSS (RFC 9293 §3.7.1), window scale and timestamps (RFC 7323), SACK-permitted and
 * SACK (RFC 2018). Unknown ones are skipped; a malformed list ends the parsing, options read before it count.
 */
import { type Seq, seq } from '../base/seq.ts';
import { TCP_HEADER_LEN } from './tcp.ts';

const END = 0;
const NOP = 1;
const MSS = 2;
const WINDOW_SCALE = 3;
const SACK_PERMITTED = 4;
const SACK = 5;
const TIMESTAMPS = 8;

/** Timestamps with the two NOPs that align them: the fixed cost of every segment that has them. */
export const TIMESTAMPS_LEN = 12;
/** MSS + SACK-permitted + timestamps + NOP + window scale. */
export const SYN_OPTIONS_MAX = 20;
const MAX_SCALE = 14; // RFC 7323 §2.3
export const MAX_SACK_BLOCKS = 4;

/** One record per stack, filled for each segment that has options. */
export class TcpOptions {
  /** 0 when absent. */
  mss = 0;
  /** -1 when absent. */
  windowScale = -1;
  sackPermitted = false;
  hasTimestamps = false;
  tsVal = 0;
  tsEcr = 0;
  sackCount = 0;
  readonly sackStart: Int32Array = new Int32Array(MAX_SACK_BLOCKS);
  readonly sackEnd: Int32Array = new Int32Array(MAX_SACK_BLOCKS);

  clear(): void {
    this.mss = 0;
    this.windowScale = -1;
    this.sackPermitted = false;
    this.hasTimestamps = false;
    this.sackCount = 0;
  }

  /** Read the options between the fixed header at `off` and `headerLen`, which are in bounds. */
  read(view: DataView, off: number, headerLen: number): void {
    this.clear();
    if (headerLen === TCP_HEADER_LEN) return;
    const end = off + headerLen;
    let at = off + TCP_HEADER_LEN;
    // The one layout that nearly every segment has: NOP, NOP, timestamps (RFC 7323 appendix A).
    if (headerLen === TCP_HEADER_LEN + TIMESTAMPS_LEN && view.getUint32(at) === 0x0101_080a) {
      this.hasTimestamps = true;
      this.tsVal = view.getInt32(at + 4);
      this.tsEcr = view.getInt32(at + 8);
      return;
    }
    while (at < end) {
      const kind = view.getUint8(at);
      if (kind === END) return;
      if (kind === NOP) {
        at++;
        continue;
      }
      if (at + 2 > end) return;
      const len = view.getUint8(at + 1);
      if (len < 2 || at + len > end) return;
      this.readOne(view, at, kind, len);
      at += len;
    }
  }

  private readOne(view: DataView, at: number, kind: number, len: number): void {
    if (kind === MSS && len === 4) this.mss = view.getUint16(at + 2);
    else if (kind === WINDOW_SCALE && len === 3) {
      this.windowScale = Math.min(view.getUint8(at + 2), MAX_SCALE);
    } else if (kind === SACK_PERMITTED && len === 2) this.sackPermitted = true;
    else if (kind === TIMESTAMPS && len === 10) {
      this.hasTimestamps = true;
      this.tsVal = view.getInt32(at + 2);
      this.tsEcr = view.getInt32(at + 6);
    } else if (kind === SACK && (len - 2) % 8 === 0) {
      this.sackCount = Math.min((len - 2) >> 3, MAX_SACK_BLOCKS);
      for (let i = 0; i < this.sackCount; i++) {
        this.sackStart[i] = view.getInt32(at + 2 + 8 * i);
        this.sackEnd[i] = view.getInt32(at + 6 + 8 * i);
      }
    }
  }

  sackStartAt(i: number): Seq {
    return seq(this.sackStart[i] ?? 0);
  }

  sackEndAt(i: number): Seq {
    return seq(this.sackEnd[i] ?? 0);
  }
}

/** What a SYN offers, or answers. */
export interface SynOptions {
  readonly mss: number;
  /** -1: none. */
  readonly windowScale: number;
  readonly sackPermitted: boolean;
  readonly timestamps: boolean;
  readonly tsVal: number;
  readonly tsEcr: number;
}

/**
 * Write the options of a SYN at `at`.
 *
 * @returns bytes written, a multiple of four
 */
export function emitSynOptions(view: DataView, at: number, options: SynOptions): number {
  const { mss, windowScale, sackPermitted, timestamps, tsVal, tsEcr } = options;
  let end = at;
  view.setUint16(end, (MSS << 8) | 4);
  view.setUint16(end + 2, mss);
  end += 4;
  if (timestamps) {
    const lead = sackPermitted ? (SACK_PERMITTED << 8) | 2 : 0x0101;
    view.setUint16(end, lead);
    view.setUint16(end + 2, (TIMESTAMPS << 8) | 10);
    view.setInt32(end + 4, tsVal);
    view.setInt32(end + 8, tsEcr);
    end += TIMESTAMPS_LEN;
  } else if (sackPermitted) {
    view.setUint32(end, (NOP << 24) | (NOP << 16) | (SACK_PERMITTED << 8) | 2);
    end += 4;
  }
  if (windowScale >= 0) {
    view.setUint32(end, (NOP << 24) | (WINDOW_SCALE << 16) | (3 << 8) | windowScale);
    end += 4;
  }
  return end - at;
}

/** @returns bytes written: {@link TIMESTAMPS_LEN} */
export function emitTimestamps(view: DataView, at: number, tsVal: number, tsEcr: number): number {
  view.setUint32(at, 0x0101_080a);
  view.setInt32(at + 4, tsVal);
  view.setInt32(at + 8, tsEcr);
  return TIMESTAMPS_LEN;
}

/**
 * Write the head of a SACK option for `count` blocks of eight bytes, which the caller writes after it.
 *
 * @returns bytes written: 4
 */
export function emitSackHead(view: DataView, at: number, count: number): number {
  view.setUint32(at, (NOP << 24) | (NOP << 16) | (SACK << 8) | (2 + 8 * count));
  return 4;
}
