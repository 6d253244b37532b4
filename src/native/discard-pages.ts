/** Memory given back to the system without unmapping it. */
import { MADV_DONTNEED } from './constants.ts';
import type { Libc } from './libc.ts';

/** See `Posix.discard`. */
export function discardPages(c: Libc, bytes: Uint8Array): void {
  const page = c.getpagesize();
  const past = Number(c.address(bytes) % BigInt(page));
  const skip = past === 0 ? 0 : page - past;
  const len = Math.floor((bytes.length - skip) / page) * page;
  if (len > 0) c.madvise(bytes.subarray(skip), len, MADV_DONTNEED); // advice: it may be refused
}
