/**
 * TCP sequence numbers: 32-bit, wrapping (RFC 9293 §3.4).
 *
 * Kept as int32, not uint32, so that V8 stores every value as a small integer. Print with `>>> 0`.
 */

declare const seqBrand: unique symbol;
/** A wrapped sequence number. Compare only with the functions below, never with `<`. */
export type Seq = number & { readonly [seqBrand]: true };

export const seq = (n: number): Seq => (n | 0) as Seq;
export const seqAdd = (a: Seq, n: number): Seq => ((a + n) | 0) as Seq;
/** Bytes from `a` forward to `b`; negative when `b` is behind `a`. */
export const seqDiff = (b: Seq, a: Seq): number => (b - a) | 0;
export const seqLt = (a: Seq, b: Seq): boolean => ((a - b) | 0) < 0;
export const seqLe = (a: Seq, b: Seq): boolean => ((a - b) | 0) <= 0;
/** The later of the two. */
export const seqMax = (a: Seq, b: Seq): Seq => (seqLt(a, b) ? b : a);
