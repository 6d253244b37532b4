/**
 * An open-addressing hash table from a nine-word flow key (`flow-key.ts`) to a value.
 *
 * Keys live in one Int32Array, so a look-up reads no object and does not depend on the values'
 * shapes. Linear probing; removal closes the gap (Knuth 6.4 R), so there are no tombstones. The
 * hash is keyed with a random word: a guest that picks its ports cannot build a chain on purpose.
 */
import { KEY_WORDS } from './flow-key.ts';

const MIN_SLOTS = 64;

export class FlowTable<T> {
  size = 0;
  readonly limit: number;
  private readonly secret: number;
  private slots = MIN_SLOTS;
  private keys = new Int32Array(MIN_SLOTS * KEY_WORDS);
  private values: (T | undefined)[] = new Array<T | undefined>(MIN_SLOTS).fill(undefined);

  /**
   * @param limit entries held at most
   * @param secret keys the hash
   */
  constructor(limit: number, secret: number) {
    this.limit = limit;
    this.secret = secret | 0;
  }

  get(key: Int32Array): T | undefined {
    return this.values[this.find(key)];
  }

  /** @returns false when the table is full and the key is new */
  set(key: Int32Array, value: T): boolean {
    let slot = this.find(key);
    if (this.values[slot] === undefined) {
      if (this.size >= this.limit) return false;
      if ((this.size + 1) * 2 > this.slots) {
        this.resize(this.slots * 2);
        slot = this.find(key);
      }
      this.keys.set(key, slot * KEY_WORDS);
      this.size++;
    }
    this.values[slot] = value;
    return true;
  }

  delete(key: Int32Array): boolean {
    let hole = this.find(key);
    if (this.values[hole] === undefined) return false;
    this.size--;
    const mask = this.slots - 1;
    for (let next = (hole + 1) & mask; this.values[next] !== undefined; next = (next + 1) & mask) {
      const home = this.hashAt(this.keys, next * KEY_WORDS) & mask;
      // The entry may move back into the hole unless its home lies behind the hole.
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      this.keys.copyWithin(hole * KEY_WORDS, next * KEY_WORDS, (next + 1) * KEY_WORDS);
      this.values[hole] = this.values[next];
      hole = next;
    }
    this.values[hole] = undefined;
    return true;
  }

  /** Call `visit` for every value; the table must not change in between. */
  forEach(visit: (value: T) => void): void {
    for (const value of this.values) if (value !== undefined) visit(value);
  }

  private find(key: Int32Array): number {
    const mask = this.slots - 1;
    let slot = this.hashAt(key, 0) & mask;
    while (this.values[slot] !== undefined && !this.matches(key, slot * KEY_WORDS)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  /** Ports first: they differ most. */
  private matches(key: Int32Array, at: number): boolean {
    const keys = this.keys;
    return (
      keys[at + 8] === key[8] &&
      keys[at + 7] === key[7] &&
      keys[at + 3] === key[3] &&
      keys[at + 6] === key[6] &&
      keys[at + 2] === key[2] &&
      keys[at + 5] === key[5] &&
      keys[at + 1] === key[1] &&
      keys[at + 4] === key[4] &&
      keys[at] === key[0]
    );
  }

  private hashAt(words: Int32Array, at: number): number {
    let hash = this.secret;
    for (let i = at; i < at + KEY_WORDS; i++) {
      hash = Math.imul(hash ^ (words[i] ?? 0), 0x9e37_79b1);
      hash ^= hash >>> 15;
    }
    return Math.imul(hash, 0x85eb_ca6b) ^ (hash >>> 13);
  }

  private resize(slots: number): void {
    const { keys, values } = this;
    this.slots = slots;
    this.keys = new Int32Array(slots * KEY_WORDS);
    this.values = new Array<T | undefined>(slots).fill(undefined);
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (value === undefined) continue;
      const key = keys.subarray(i * KEY_WORDS, (i + 1) * KEY_WORDS);
      const slot = this.find(key);
      this.keys.set(key, slot * KEY_WORDS);
      this.values[slot] = value;
    }
  }
}
