/** Frames spoilt at random, and the question whether a stack still serves after them. */
import assert from 'node:assert/strict';
import type { Random } from '../../src/base/random.ts';
import { App, PLAIN, type Script } from './script.ts';

export const pick = (random: Random, n: number): number => (random.next32() >>> 0) % n;

/** @param header bytes of `frame` before what `other` may replace */
export function mutate(
  random: Random,
  frame: Uint8Array,
  other: Uint8Array,
  header = 34,
): Uint8Array {
  switch (pick(random, 6)) {
    case 0:
      for (let i = 0; i < 1 + pick(random, 4); i++) {
        const at = pick(random, frame.length);
        frame[at] = (frame[at] ?? 0) ^ (1 << pick(random, 8));
      }
      return frame;
    case 1:
      return frame.slice(0, pick(random, frame.length + 1));
    case 2:
      return Uint8Array.from([...frame, ...other.subarray(0, pick(random, 64))]);
    case 3:
      return Uint8Array.from([...frame.subarray(0, header), ...other.subarray(header)]);
    case 4:
      return new Uint8Array(pick(random, 100)).fill(255);
    default:
      return frame;
  }
}

export function stillServes(s: Script): void {
  s.advance(60_000);
  s.writer.take();
  s.irs = 5;
  s.app = new App();
  s.in({ flags: 'S', sport: 60_000, ...PLAIN });
  s.records();
  s.in({ seq: 1, ack: 1, sport: 60_000, data: 'alive' });
  assert.equal(s.app.text, 'alive');
}
