/**
 * The bytes that the demo and the system tests move: a stream that both ends can make from a seed,
 * cheap enough not to be what is measured. One block of noise is repeated; a counter at every
 * 4 KiB makes each page unlike any other, so that a page lost, repeated or moved changes the sum.
 */
import { createHash } from 'node:crypto';

export const BLOCK_BYTES: number = 1024 * 1024;
const PAGE_BYTES = 4096;

export class SeededStream {
  readonly sizeBytes: number;
  private readonly noise: Uint32Array;
  private blocks = 0;
  private left: number;

  /** @param seed any integer */
  constructor(seed: number, sizeBytes: number) {
    this.sizeBytes = sizeBytes;
    this.left = sizeBytes;
    this.noise = new Uint32Array(BLOCK_BYTES / 4);
    let x = (seed ^ 0x9e37_79b9) | 0 || 1;
    for (let i = 0; i < this.noise.length; i++) {
      x ^= x << 13; // xorshift32 (Marsaglia 2003)
      x ^= x >>> 17;
      x ^= x << 5;
      this.noise[i] = x;
    }
  }

  /** The next bytes, at most {@link BLOCK_BYTES}, the caller's to keep; undefined at the end. */
  next(): Uint8Array | undefined {
    if (this.left === 0) return undefined;
    const block = this.noise.slice();
    for (let page = 0; page < block.length; page += PAGE_BYTES / 4) {
      block[page] = (block[page] ?? 0) ^ (this.blocks * BLOCK_BYTES + page);
    }
    this.blocks++;
    const len = Math.min(this.left, BLOCK_BYTES);
    this.left -= len;
    return new Uint8Array(block.buffer, 0, len);
  }
}

/** SHA-256 in hex of the whole stream. */
export function seededSha256(seed: number, sizeBytes: number): string {
  const stream = new SeededStream(seed, sizeBytes);
  const hash = createHash('sha256');
  for (let bytes = stream.next(); bytes !== undefined; bytes = stream.next()) hash.update(bytes);
  return hash.digest('hex');
}
