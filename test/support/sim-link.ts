/**
 * Two stacks joined by a link in virtual time, with seeded loss, duplication, reordering and
 * corruption. Nothing here reads a clock: the same seed gives the same run.
 */
import { nextUnit, type Random, seededRandom } from '../../src/base/random.ts';
import { makeSlab, type Slab } from '../../src/base/slab.ts';
import type { Instant } from '../../src/base/time.ts';
import type { FrameReader, FrameWriter } from '../../src/stack/link.ts';
import type { Stack } from '../../src/stack/stack.ts';
import { isQuestion } from './frames.ts';
import { lend } from './lend.ts';

export interface Impairments {
  readonly delayMs: number;
  /** Probabilities for each frame. */
  readonly loss: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly corrupt: number;
  /** Frames in flight in one direction before the tail is dropped. */
  readonly queue: number;
}

export const PERFECT: Impairments = {
  delayMs: 1,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  corrupt: 0,
  queue: 10_000,
};

interface InFlight {
  readonly at: Instant;
  readonly order: number;
  readonly to: FrameReader;
  readonly frame: Uint8Array;
}

/** One end's writer: frames are copied out and handed to the network. */
class SimWriter implements FrameWriter {
  readonly slab: Slab = makeSlab(70_000);
  readonly offload = false;
  readonly isCrowded = false;
  private readonly onFrame: (frame: Uint8Array) => void;

  constructor(onFrame: (frame: Uint8Array) => void) {
    this.onFrame = onFrame;
  }

  reserve(_maxLen: number): number {
    return 0;
  }

  commit(len: number): void {
    if (len > 0) this.onFrame(this.slab.bytes.slice(0, len));
  }

  commitOffload(): void {
    throw new Error('this link takes no offload');
  }

  flush(): void {}
}

export class SimNetwork {
  now: Instant;
  framesDelivered = 0;
  framesLost = 0;
  /** Sees every frame that enters the link; may drop it by returning false. */
  filter: ((frame: Uint8Array, fromFirst: boolean) => boolean) | undefined = undefined;
  private readonly random: Random;
  private readonly impairments: Impairments;
  private readonly stacks: readonly Stack[];
  private readonly inFlight: InFlight[] = [];
  private order = 0;

  constructor(now: Instant, seed: number, impairments: Impairments, first: Stack, second: Stack) {
    this.now = now;
    this.random = seededRandom(seed);
    this.impairments = impairments;
    this.stacks = [first, second];
    const readers: FrameReader[] = [];
    [first, second].forEach((stack, i) => {
      const writer = new SimWriter((frame) => {
        const to = readers[1 - i];
        if (to !== undefined) this.enter(frame, to, i);
      });
      const reader = stack.attach(now, `sim${i}`, writer);
      if (reader === undefined) throw new Error('no room for a link');
      readers.push(reader);
    });
  }

  /** Run until `done()`, or nothing more happens, or `limitMs` of virtual time have passed. */
  run(done: () => boolean, limitMs: number): boolean {
    const end = this.now + limitMs;
    while (!done()) {
      const next = this.nextEvent();
      if (next > end) return false;
      this.now = Math.max(next, this.now);
      for (const stack of this.stacks) {
        if (stack.nextTimeout() <= this.now) stack.onTimeout(this.now);
      }
      this.deliver();
    }
    return true;
  }

  private nextEvent(): Instant {
    let next = this.inFlight[0]?.at ?? Number.POSITIVE_INFINITY;
    for (const stack of this.stacks) next = Math.min(next, stack.nextTimeout());
    return next;
  }

  private deliver(): void {
    const batches = new Set<FrameReader>();
    for (;;) {
      const head = this.inFlight[0];
      if (head === undefined || head.at > this.now) break;
      this.inFlight.shift();
      this.framesDelivered++;
      lend(head.to, this.now, head.frame);
      batches.add(head.to);
    }
    for (const reader of batches) reader.onBatchEnd(this.now);
  }

  private enter(frame: Uint8Array, to: FrameReader, from: number): void {
    const { loss, duplicate, reorder, corrupt, delayMs, queue } = this.impairments;
    // Not ARP, nor Neighbor Discovery, which ask three times and no more: a dial would end, as it should.
    const isLost = (): boolean => nextUnit(this.random) < loss && !isQuestion(frame);
    if (this.filter?.(frame, from === 0) === false || isLost()) {
      this.framesLost++;
      return;
    }
    if (this.inFlight.length >= queue) {
      this.framesLost++;
      return;
    }
    // Not ARP: it has no checksum of its own, and real links have one of theirs.
    if (nextUnit(this.random) < corrupt && !isQuestion(frame)) {
      const at = 14 + Math.floor(nextUnit(this.random) * (frame.length - 14));
      frame[at] = (frame[at] ?? 0) ^ (1 << Math.floor(nextUnit(this.random) * 8));
    }
    const late = nextUnit(this.random) < reorder ? delayMs * (1 + 3 * nextUnit(this.random)) : 0;
    this.insert({ at: this.now + delayMs + late, order: this.order++, to, frame });
    if (nextUnit(this.random) < duplicate) {
      this.insert({ at: this.now + delayMs, order: this.order++, to, frame: frame.slice() });
    }
  }

  private insert(flight: InFlight): void {
    let i = this.inFlight.length;
    while (i > 0) {
      const before = this.inFlight[i - 1];
      if (before === undefined || before.at <= flight.at) break;
      i--;
    }
    this.inFlight.splice(i, 0, flight);
  }
}
