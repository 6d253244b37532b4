/** Lists of numbers by network: those of each network that an address is in, in as many steps as the address has bits. */
import { V4_MAPPED } from '../../base/ip-address.ts';
import type { Prefix } from '../address-text.ts';

const NONE = 0;
const ROOT = 1;
const MAPPED_BITS = 96;

export class PrefixTrie {
  /** Two for each node, for a bit of 0 and of 1. */
  private children = new Int32Array(64);
  private nodes = 2;
  private readonly lists = new Map<number, number[]>();

  /** Numbers are added in ascending order. */
  add({ address, bits }: Prefix, value: number): void {
    const words = [address.a, address.b, address.c, address.d];
    const length = address.family === 4 ? bits + MAPPED_BITS : bits;
    let node = ROOT;
    for (let i = 0; i < length; i++) {
      const slot = node * 2 + bitOf(words[i >> 5] ?? 0, i);
      const next = this.children[slot] ?? NONE;
      node = next === NONE ? this.grow(slot) : next;
    }
    const list = this.lists.get(node);
    if (list === undefined) this.lists.set(node, [value]);
    else list.push(value);
  }

  /**
   * @param words of which four at `at` are the address
   * @param visit is handed each list of a network that the address is in
   */
  walk(words: Int32Array, at: number, visit: (list: readonly number[]) => void): void {
    const from = isMapped(words, at) ? MAPPED_BITS : 0; // ::/0 is not for IPv4
    let node = ROOT;
    for (let i = 0; ; i++) {
      const list = i < from ? undefined : this.lists.get(node);
      if (list !== undefined) visit(list);
      if (i === 128) return;
      node = this.children[node * 2 + bitOf(words[at + (i >> 5)] ?? 0, i)] ?? NONE;
      if (node === NONE) return;
    }
  }

  private grow(slot: number): number {
    const node = this.nodes++;
    if (node * 2 + 2 > this.children.length) {
      const larger = new Int32Array(this.children.length * 2);
      larger.set(this.children);
      this.children = larger;
    }
    this.children[slot] = node;
    return node;
  }
}

const isMapped = (words: Int32Array, at: number): boolean =>
  words[at] === 0 && words[at + 1] === 0 && words[at + 2] === V4_MAPPED;

const bitOf = (word: number, i: number): number => (word >>> (31 - (i & 31))) & 1;
