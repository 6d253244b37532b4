/**
 * The Internet checksum (RFC 1071).
 *
 * Over bytes of the arena (slabs of links, rings) it is computed by WebAssembly. Elsewhere, and for
 * a few bytes, 32-bit words are summed in float64 accumulators: exact below 2^53, so up to 2^21
 * words, with no carries and no alignment rule.
 */
import { ARENA_BUFFER, arenaSum } from '../base/arena.ts';

/** Below this a call into WebAssembly costs more than it saves. */
const MIN_ARENA_LEN = 64;

/**
 * Sum `len` bytes at `off` into a folded 16-bit one's complement sum (not inverted).
 *
 * @param initial a folded sum to continue from, over an even number of bytes
 */
export function sum16(view: DataView, off: number, len: number, initial = 0): number {
  if (len >= MIN_ARENA_LEN && view.buffer === ARENA_BUFFER) {
    return fold16(initial + arenaSum(view.byteOffset + off, len));
  }
  let a = initial;
  let b = 0;
  let i = off;
  const blocks = off + (len & ~15);
  const even = off + (len & ~1);
  for (; i < blocks; i += 16) {
    a += view.getUint32(i) + view.getUint32(i + 4);
    b += view.getUint32(i + 8) + view.getUint32(i + 12);
  }
  for (; i < even; i += 2) b += view.getUint16(i);
  if ((len & 1) !== 0) b += view.getUint8(even) << 8;
  const total = a + b;
  const high = Math.floor(total / 0x1_0000_0000);
  const low = total - high * 0x1_0000_0000;
  return fold16((low >>> 16) + (low & 0xffff) + high);
}

/** Fold carries back in until the sum fits 16 bits. `sum` is below 2^32. */
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
