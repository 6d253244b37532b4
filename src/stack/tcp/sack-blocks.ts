/**
 * Which SACK blocks an ACK carries: first a duplicate that has just arrived (RFC 2883 §4, once), then the range that
 * the last segment fell into, then those reported most recently (RFC 2018 §4), so that each is reported several times and
 * the loss of an ACK does little harm.
 */
import { type Seq, seq, seqLt } from '../../base/seq.ts';
import { emitSackHead } from '../../wire/tcp-options.ts';
import type { SequenceRanges } from './intervals.ts';

/** As many as an ACK can carry. */
const REMEMBERED = 4;

export class SackBlocks {
  /** A number in each of the ranges that were extended last, the latest first. */
  private readonly recent: Seq[] = [];
  private duplicateStart: Seq = seq(0);
  private duplicateEnd: Seq = seq(0);
  private duplicated = false;

  /** A segment at `at` is now in range `index` of `ranges`. */
  noteArrival(at: Seq, ranges: SequenceRanges, index: number): void {
    const { recent } = this;
    const start = ranges.start(index);
    const end = ranges.end(index);
    let kept = 0;
    for (const number of recent) {
      if (seqLt(number, start) || !seqLt(number, end)) recent[kept++] = number;
    }
    recent.length = Math.min(kept, REMEMBERED - 1);
    recent.push(at);
    for (let i = recent.length - 1; i > 0; i--) recent[i] = recent[i - 1] ?? at;
    recent[0] = at;
  }

  /** [start, end) has arrived before. */
  noteDuplicate(start: Seq, end: Seq): void {
    this.duplicateStart = start;
    this.duplicateEnd = end;
    this.duplicated = true;
  }

  /** A segment left without blocks: it is too late to name a duplicate, which belongs to the ACK it caused. */
  forgetDuplicate(): void {
    this.duplicated = false;
  }

  /** How many blocks the next ACK carries when it has room for `room`. */
  count(ranges: SequenceRanges, room: number): number {
    return Math.min(ranges.count + (this.duplicated ? 1 : 0), room);
  }

  /** Write the option with `blocks` blocks, as `count` gave them. */
  emit(view: DataView, start: number, ranges: SequenceRanges, blocks: number): void {
    let at = start + emitSackHead(view, start, blocks);
    const end = at + 8 * blocks;
    if (this.duplicated) {
      at = emitBlock(view, at, this.duplicateStart, this.duplicateEnd);
    }
    for (const number of this.recent) {
      const i = ranges.indexOf(number);
      if (i >= 0 && at < end) at = emitBlock(view, at, ranges.start(i), ranges.end(i));
    }
    for (let i = 0; i < ranges.count && at < end; i++) {
      if (!this.isRecent(ranges, i)) at = emitBlock(view, at, ranges.start(i), ranges.end(i));
    }
  }

  private isRecent(ranges: SequenceRanges, index: number): boolean {
    for (const number of this.recent) if (ranges.indexOf(number) === index) return true;
    return false;
  }
}

function emitBlock(view: DataView, at: number, start: Seq, end: Seq): number {
  view.setInt32(at, start);
  view.setInt32(at + 4, end);
  return at + 8;
}
