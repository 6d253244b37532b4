/**
 * A set that knows its heaviest member, within an eighth: members stand in lists by classes of weight, eight for each
 * power of two, and a bit for each class says whether its list has any. Every operation is O(1).
 */

/** A possible member of one set at a time. Only the set writes the fields. */
export interface Weighed<T> {
  weighedNext: T | undefined;
  weighedPrev: T | undefined;
  /** Class of its weight; -1 outside of a set. */
  weightClass: number;
}

const CLASSES = 256;
const WORDS = CLASSES >> 5;
const EXACT_BELOW = 16;

export class Heaviest<T extends Weighed<T>> {
  private readonly firsts: (T | undefined)[] = new Array<T | undefined>(CLASSES).fill(undefined);
  private readonly occupied = new Int32Array(WORDS);

  /** `item` weighs `weight` now; 0 takes it out. */
  set(item: T, weight: number): void {
    const to = weight > 0 ? classOf(weight) : -1;
    if (to === item.weightClass) return;
    if (item.weightClass >= 0) this.unlink(item);
    if (to >= 0) this.link(item, to);
  }

  /** Undefined when nothing weighs anything. */
  get(): T | undefined {
    for (let word = WORDS - 1; word >= 0; word--) {
      const bits = this.occupied[word] ?? 0;
      if (bits !== 0) return this.firsts[word * 32 + 31 - Math.clz32(bits)];
    }
    return undefined;
  }

  private link(item: T, to: number): void {
    const first = this.firsts[to];
    item.weightClass = to;
    item.weighedPrev = undefined;
    item.weighedNext = first;
    if (first !== undefined) first.weighedPrev = item;
    this.firsts[to] = item;
    this.occupied[to >> 5] = (this.occupied[to >> 5] ?? 0) | (1 << (to & 31));
  }

  private unlink(item: T): void {
    const { weighedNext: next, weighedPrev: prev, weightClass: from } = item;
    if (next !== undefined) next.weighedPrev = prev;
    if (prev !== undefined) prev.weighedNext = next;
    else {
      this.firsts[from] = next;
      if (next === undefined) {
        this.occupied[from >> 5] = (this.occupied[from >> 5] ?? 0) & ~(1 << (from & 31));
      }
    }
    item.weighedNext = undefined;
    item.weighedPrev = undefined;
    item.weightClass = -1;
  }
}

/** Weights below 16 have classes of their own; from there the class is the exponent and the three bits after the first. */
function classOf(weight: number): number {
  if (weight < EXACT_BELOW) return weight;
  const whole = weight > 0x7fff_ffff ? 0x7fff_ffff : weight | 0;
  const exponent = 31 - Math.clz32(whole);
  return ((exponent - 2) << 3) + ((whole >>> (exponent - 3)) & 7);
}
