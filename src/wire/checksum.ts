/**
 * The Internet checksum (RFC 1071).
 *
 * Over bytes of the arena (slabs of links, rings) it is computed by WebAssembly. Elsewhere, and for
 * a few bytes, halves of 32-bit words are added modulo 2^32, which is exact up to 128 KiB, with no carries and no
 * alignment rule: all numbers are 32-bit integers, so that nothing is allocated.
 */
import { ARENA_BUFFER, arenaSum } from '../base/arena.ts';

/** Below this a call into WebAssembly costs more than it saves. */
const MIN_ARENA_LEN = 64;

/**
 * Sum `len` bytes at `off`, at most 128 KiB, into a folded 16-bit one's complement sum (not inverted).
 *
 * @param initial a folded sum to continue from, over an even number of bytes
 */
export function sum16(view: DataView, off: number, len: number, initial = 0): number {
  if (len >= MIN_ARENA_LEN && view.buffer === ARENA_BUFFER) {
    return fold16(initial + arenaSum(view.byteOffset + off, len));
  }
  let sum = initial;
  let i = off;
  const words = off + (len & ~3);
  for (; i < words; i += 4) {
    const word = view.getInt32(i);
    sum = (sum + (word >>> 16) + (word & 0xffff)) | 0;
  }
  if ((len & 2) !== 0) {
    sum += view.getUint16(i);
    i += 2;
  }
  if ((len & 1) !== 0) sum += view.getUint8(i) << 8;
  return fold16(sum);
}

/** Fold carries back in until the sum fits 16 bits. `sum` is of 32 bits, with or without sign. */
export function fold16(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/**
 * Sum of the TCP and UDP pseudo-header, without its length (RFC 768, RFC 9293 §3.1, RFC 8200 §8.1).
 * Addresses are four words each, from `at`; the v4-mapped prefix is left out of an IPv4 sum.
 */
export function pseudoAddressSum(
  words: Int32Array,
  srcAt: number,
  dstAt: number,
  family: 4 | 6,
  protocol: number,
): number {
  let sum = protocol;
  for (let i = family === 4 ? 3 : 0; i < 4; i++) {
    const src = words[srcAt + i] ?? 0;
    const dst = words[dstAt + i] ?? 0;
    sum += (src >>> 16) + (src & 0xffff) + (dst >>> 16) + (dst & 0xffff);
  }
  return fold16(sum);
}

/** Add an upper-layer length to a {@link pseudoAddressSum}. */
export const pseudoSum = (addressSum: number, len: number): number =>
  fold16(addressSum + (len >>> 16) + (len & 0xffff));
