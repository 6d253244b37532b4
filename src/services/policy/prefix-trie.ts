/**
 * Values by network: those of each network that an address is in. A node is for a network that has a value, or where two
 * part, so that there are at most two for each, however long it is.
 */
import { V4_MAPPED } from '../../base/ip-address.ts';
import type { Prefix } from '../address-text.ts';

const NONE = 0;
/** ::/0 is not for IPv4. */
const ROOT4 = 1;
const ROOT6 = 2;
const MAPPED_BITS = 96;
const ADDRESS_BITS = 128;

export class PrefixTrie<T> {
  /** Two for each node, for the first bit behind its network of 0 and of 1. */
  private children = new Int32Array(64);
  /** Of each node: the four words of its network, of which so many bits count. */
  private networks = new Int32Array(128);
  private lengths = new Int32Array(32);
  /** Of each node: the place of its value, from 1 on. */
  private places = new Int32Array(32);
  private nodes = 3;
  private readonly values: T[] = [];

  constructor() {
    this.networks[ROOT4 * 4 + 2] = V4_MAPPED;
    this.lengths[ROOT4] = MAPPED_BITS;
  }

  /** The value of a network; `make` makes one where there is none yet. */
  at({ address, bits }: Prefix, make: () => T): T {
    const isOf4 = address.family === 4;
    const words = Int32Array.of(address.a, address.b, address.c, address.d);
    const node = this.nodeOf(isOf4 ? ROOT4 : ROOT6, words, isOf4 ? MAPPED_BITS + bits : bits);
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
    let node = isMapped(words, at) ? ROOT4 : ROOT6;
    do {
      const length = this.lengths[node] ?? 0;
      if (this.bitsShared(node, words, at) < length) return;
      const value = this.values[(this.places[node] ?? 0) - 1];
      if (value !== undefined) visit(value);
      if (length === ADDRESS_BITS) return;
      node = this.children[node * 2 + bitOf(words, at, length)] ?? NONE;
    } while (node !== NONE);
  }

  private nodeOf(root: number, words: Int32Array, bits: number): number {
    let slot = NONE;
    let node = root;
    while (node !== NONE) {
      const shared = Math.min(this.bitsShared(node, words, 0), bits);
      if (shared < (this.lengths[node] ?? 0)) {
        node = this.part(slot, node, shared);
      }
      if (shared === bits) return node;
      slot = node * 2 + bitOf(words, 0, shared);
      node = this.children[slot] ?? NONE;
    }
    return this.grow(slot, words, 0, bits);
  }

  /** A node in front of another, for what is in both. @returns it */
  private part(slot: number, node: number, bits: number): number {
    const front = this.grow(slot, this.networks, node * 4, bits);
    this.children[front * 2 + bitOf(this.networks, node * 4, bits)] = node;
    return front;
  }

  private grow(slot: number, words: Int32Array, at: number, bits: number): number {
    const node = this.nodes++;
    if (node === this.places.length) {
      this.children = doubled(this.children);
      this.networks = doubled(this.networks);
      this.lengths = doubled(this.lengths);
      this.places = doubled(this.places);
    }
    for (let i = 0; i < 4; i++) this.networks[node * 4 + i] = words[at + i] ?? 0;
    this.lengths[node] = bits;
    this.children[slot] = node;
    return node;
  }

  /** How many of the network's bits an address has, from the first on. */
  private bitsShared(node: number, words: Int32Array, at: number): number {
    const length = this.lengths[node] ?? 0;
    for (let i = 0; i * 32 < length; i++) {
      const differing = (this.networks[node * 4 + i] ?? 0) ^ (words[at + i] ?? 0);
      if (differing !== 0) return Math.min(i * 32 + Math.clz32(differing), length);
    }
    return length;
  }
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}

const isMapped = (words: Int32Array, at: number): boolean =>
  words[at] === 0 && words[at + 1] === 0 && words[at + 2] === V4_MAPPED;

const bitOf = (words: Int32Array, at: number, i: number): number =>
  ((words[at + (i >> 5)] ?? 0) >>> (31 - (i & 31))) & 1;
