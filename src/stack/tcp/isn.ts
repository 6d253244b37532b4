/**
 * Initial sequence numbers (RFC 6528): a clock of 4 us plus a keyed hash of the flow. The hash is
 * HalfSipHash-2-4 with a 32-bit result (Aumasson, Bernstein), over the nine words of the flow's key.
 */

import { KEY_WORDS } from '../../base/flow-key.ts';
import type { Random } from '../../base/random.ts';
import { type Seq, seq, seqAdd, seqMax } from '../../base/seq.ts';
import type { Instant } from '../../base/time.ts';
import { wordAt } from '../../base/word-at.ts';

const rotl = (x: number, n: number): number => (x << n) | (x >>> (32 - n));

export class IsnGenerator {
  private readonly k0: number;
  private readonly k1: number;
  private readonly v = new Int32Array(4);

  constructor(random: Random) {
    this.k0 = random.next32();
    this.k1 = random.next32();
  }

  /** @param from what a connection that this one replaces has not used yet, when there was one */
  isn(now: Instant, key: Int32Array, from: Seq | undefined): Seq {
    const isn = seq(this.hash(key, 0) + Math.floor(now * 250));
    // RFC 9293 §3.6.1: beyond all that it sent, though it sent faster than the clock advances.
    return from === undefined ? isn : seqMax(isn, seqAdd(from, 0x1_0000));
  }

  /** A constant of the flow, added to its timestamps (RFC 7323 §7.1). */
  timestampOffset(key: Int32Array): number {
    return this.hash(key, 1);
  }

  private hash(key: Int32Array, purpose: number): number {
    const v = this.v;
    v[0] = this.k0;
    v[1] = this.k1 ^ purpose;
    v[2] = 0x6c79_6765 ^ this.k0;
    v[3] = 0x7465_6462 ^ this.k1;
    for (let i = 0; i < KEY_WORDS; i++) this.absorb(wordAt(key, i));
    this.absorb((KEY_WORDS * 4) << 24);
    v[2] ^= 0xff;
    for (let i = 0; i < 4; i++) this.round();
    return v[1] ^ v[3];
  }

  private absorb(word: number): void {
    const v = this.v;
    v[3] = wordAt(v, 3) ^ word;
    this.round();
    this.round();
    v[0] = wordAt(v, 0) ^ word;
  }

  private round(): void {
    const v = this.v;
    let [v0 = 0, v1 = 0, v2 = 0, v3 = 0] = v;
    v0 = (v0 + v1) | 0;
    v1 = rotl(v1, 5) ^ v0;
    v0 = rotl(v0, 16);
    v2 = (v2 + v3) | 0;
    v3 = rotl(v3, 8) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = rotl(v3, 7) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = rotl(v1, 13) ^ v2;
    v2 = rotl(v2, 16);
    v[0] = v0;
    v[1] = v1;
    v[2] = v2;
    v[3] = v3;
  }
}
