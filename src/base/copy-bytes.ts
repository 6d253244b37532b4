/** Copies between slabs, rings and read buffers: without a view of either, where both are of the arena. */
import { ARENA_BUFFER, arenaCopy } from './arena.ts';
import { assert } from './assert.ts';

/**
 * Where bytes are in the arena. To ask an array costs as much as a copy of 1,500 bytes (70 ns), so what was asked for last
 * is remembered: of one flow it is the same for frame after frame. Only of the arena, whose views are never detached.
 */
class Lookup {
  private bytes: Uint8Array | undefined = undefined;
  private at = 0;

  /** @returns the offset of the first byte; -1: it is not in the arena */
  of(bytes: Uint8Array): number {
    if (bytes === this.bytes) return this.at;
    if (bytes.buffer !== ARENA_BUFFER) return -1;
    this.bytes = bytes;
    this.at = bytes.byteOffset;
    return this.at;
  }
}

/** Of one array to another: to ask where they are, or to make a view, costs more than to copy so many (35 to 70 ns against 7). */
const FEW = 24;

const sources = new Lookup();
const targets = new Lookup();

/** Copy `len` bytes at `fromOff` of `from` to `toOff` of `to`. */
export function copyBytes(
  from: Uint8Array,
  fromOff: number,
  to: Uint8Array,
  toOff: number,
  len: number,
): void {
  assert(fromOff + len <= from.length && toOff + len <= to.length, 'copy beyond the end');
  if (len <= FEW) {
    for (let i = 0; i < len; i++) to[toOff + i] = from[fromOff + i] ?? 0;
    return;
  }
  const fromAt = sources.of(from);
  const toAt = targets.of(to);
  if (fromAt >= 0 && toAt >= 0) arenaCopy(toAt + toOff, fromAt + fromOff, len);
  else to.set(from.subarray(fromOff, fromOff + len), toOff);
}
