/** Values by network: those of each network that an address is in, in as many steps as the address has bits. */
import { V4_MAPPED } from '../../base/ip-address.ts';
import type { Prefix } from '../address-text.ts';

const NONE = 0;
const ROOT4 = 1;
const ROOT6 = 2;
const MAPPED_BITS = 96;

export class PrefixTrie<T> {
  /** Two for each node, for a bit of 0 and of 1. */
  private children = new Int32Array(64);
  /** Of each node: the place of its value, from 1 on. */
  private places = new Int32Array(32);
  private nodes = 3;
  private readonly values: T[] = [];

  /** The value of a network; `make` makes one where there is none yet. */
  at({ address, bits }: Prefix, make: () => T): T {
    const words = [address.a, address.b, address.c, address.d];
    const from = address.family === 4 ? MAPPED_BITS : 0;
    let node = address.family === 4 ? ROOT4 : ROOT6;
    for (let i = from; i < from + bits; i++) {
      const slot = node * 2 + bitOf(words[i >> 5] ?? 0, i);
      const next = this.children[slot] ?? NONE;
      node = next === NONE ? this.grow(slot) : next;
    }
    const known = this.values[(this.places[node] ?? 0) - 1];
    if (known !== undefined) return known;
    const made = make();
    this.places[node] = this.values.push(made);
    return made;
  }

  /**
   * @param words of which four at `at` are the address
   * @param visit is handed the value of each network that the address is in
   */
  walk(words: Int32Array, at: number, visit: (value: T) => void): void {
    const isOf4 = isMapped(words, at); // ::/0 is not for IPv4
    let node = isOf4 ? ROOT4 : ROOT6;
    for (let i = isOf4 ? MAPPED_BITS : 0; ; i++) {
      const value = this.values[(this.places[node] ?? 0) - 1];
      if (value !== undefined) visit(value);
      if (i === 128) return;
      node = this.children[node * 2 + bitOf(words[at + (i >> 5)] ?? 0, i)] ?? NONE;
      if (node === NONE) return;
    }
  }

  private grow(slot: number): number {
    const node = this.nodes++;
    if (node === this.places.length) {
      this.children = doubled(this.children);
      this.places = doubled(this.places);
    }
    this.children[slot] = node;
    return node;
  }
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}

const isMapped = (words: Int32Array, at: number): boolean =>
  words[at] === 0 && words[at + 1] === 0 && words[at + 2] === V4_MAPPED;

const bitOf = (word: number, i: number): number => (word >>> (31 - (i & 31))) & 1;
