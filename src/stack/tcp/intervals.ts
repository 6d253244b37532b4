/**
 * A bounded, sorted set of disjoint sequence ranges: what a sender knows to have arrived (the SACK scoreboard). Few
 * ranges, so plain arrays and scans.
 */
import { type Seq, seqDiff, seqLe, seqLt } from '../../base/seq.ts';

/** Sorted ranges, read by index. */
export interface SequenceRanges {
  readonly count: number;
  start(i: number): Seq;
  end(i: number): Seq;
  /** The range that holds `at`; -1 when none does. */
  indexOf(at: Seq): number;
}

export class Intervals implements SequenceRanges {
  readonly starts: Seq[] = [];
  readonly ends: Seq[] = [];
  /** Bytes covered. */
  bytes = 0;
  private readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  get count(): number {
    return this.starts.length;
  }

  start(i: number): Seq {
    return this.starts[i] ?? (0 as Seq);
  }

  end(i: number): Seq {
    return this.ends[i] ?? (0 as Seq);
  }

  /** End of the last range; undefined when empty. */
  get top(): Seq | undefined {
    return this.ends[this.ends.length - 1];
  }

  /**
   * Add [start, end), merged with what it touches.
   *
   * @returns the index of the range that now holds it; -1 when it would be one range too many
   */
  add(start: Seq, end: Seq): number {
    let i = 0;
    while (i < this.count && seqLt(this.end(i), start)) i++;
    if (i === this.count || seqLt(end, this.start(i))) {
      if (this.count >= this.limit) return -1;
      this.starts.splice(i, 0, start);
      this.ends.splice(i, 0, end);
      this.bytes += seqDiff(end, start);
      return i;
    }
    // Range i touches [start, end): widen it, then swallow those that it reaches.
    if (seqLt(start, this.start(i))) {
      this.bytes += seqDiff(this.start(i), start);
      this.starts[i] = start;
    }
    if (seqLt(this.end(i), end)) {
      this.bytes += seqDiff(end, this.end(i));
      this.ends[i] = end;
      while (i + 1 < this.count && seqLe(this.start(i + 1), this.end(i))) {
        const overlap = seqDiff(this.end(i), this.start(i + 1));
        if (seqLt(this.end(i), this.end(i + 1))) {
          this.bytes -= overlap;
          this.ends[i] = this.end(i + 1);
        } else {
          this.bytes -= seqDiff(this.end(i + 1), this.start(i + 1));
        }
        this.starts.splice(i + 1, 1);
        this.ends.splice(i + 1, 1);
      }
    }
    return i;
  }

  /** Forget everything before `to`. */
  trim(to: Seq): void {
    let drop = 0;
    while (drop < this.count && seqLe(this.end(drop), to)) {
      this.bytes -= seqDiff(this.end(drop), this.start(drop));
      drop++;
    }
    if (drop > 0) {
      this.starts.splice(0, drop);
      this.ends.splice(0, drop);
    }
    if (this.count > 0 && seqLt(this.start(0), to)) {
      this.bytes -= seqDiff(to, this.start(0));
      this.starts[0] = to;
    }
  }

  clear(): void {
    this.starts.length = 0;
    this.ends.length = 0;
    this.bytes = 0;
  }

  /** Bytes of [from, to) that no range covers. */
  uncovered(from: Seq, to: Seq): number {
    let bytes = Math.max(seqDiff(to, from), 0);
    for (let i = 0; i < this.count && seqLt(this.start(i), to); i++) {
      const start = seqLt(this.start(i), from) ? from : this.start(i);
      const end = seqLt(to, this.end(i)) ? to : this.end(i);
      if (seqLt(start, end)) bytes -= seqDiff(end, start);
    }
    return bytes;
  }

  indexOf(at: Seq): number {
    for (let i = 0; i < this.count && seqLe(this.start(i), at); i++) {
      if (seqLt(at, this.end(i))) return i;
    }
    return -1;
  }

  /** The first sequence number at or after `from` that no range covers. */
  nextUncovered(from: Seq): Seq {
    for (let i = 0; i < this.count; i++) {
      if (seqLt(from, this.start(i))) return from;
      if (seqLt(from, this.end(i))) return this.end(i);
    }
    return from;
  }

  /** The start of the first range after `from`, which no range covers; `otherwise` when none is. */
  nextCovered(from: Seq, otherwise: Seq): Seq {
    for (let i = 0; i < this.count; i++) if (seqLt(from, this.start(i))) return this.start(i);
    return otherwise;
  }

  /** The lowest sequence number with fewer than `bytes` covered bytes at or above it. */
  edgeBelow(bytes: number, otherwise: Seq): Seq {
    let above = 0;
    for (let i = this.count - 1; i >= 0; i--) {
      above += seqDiff(this.end(i), this.start(i));
      if (above >= bytes) return this.start(i);
    }
    return otherwise;
  }
}
