/**
 * The stream of CRYPTO frames (RFC 9000 §7.5) as far as hellos go, put together from pieces in any order. A byte that comes
 * again must be the same: a server that has discarded the first copy would otherwise read another hello than was read here.
 */
import type { CryptoFrame } from './quic-initial.ts';
import { MAX_HELD } from './reader.ts';

const FIRST_CAPACITY = 2048;
const NONE = new Uint8Array(0);

export class CryptoStream {
  private data: Uint8Array = NONE;
  /** 1 where a byte of `data` has come. */
  private seen: Uint8Array = NONE;
  private readonly limit: number;
  /** Bytes from the start without a gap. */
  length = 0;
  /** Of all that has come, the end. */
  end = 0;

  constructor(limit: number = MAX_HELD) {
    this.limit = Math.min(limit, MAX_HELD);
  }

  /** Bytes of memory for what has come. */
  get capacity(): number {
    return this.data.length;
  }

  /** Keep no more memory than for what has come. */
  trim(): void {
    this.data = this.data.slice(0, this.end);
    this.seen = this.seen.slice(0, this.end);
  }

  /** Without a gap, from `from` on. */
  bytesFrom(from: number): Uint8Array {
    return this.data.subarray(from, this.length);
  }

  add({ offset, bytes }: CryptoFrame): 'differs' | 'too-long' | undefined {
    const end = offset + bytes.length;
    if (end > this.limit) return 'too-long';
    if (end > this.data.length) this.grow(end);
    const { data, seen } = this;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] ?? 0;
      if (seen[offset + i] === 1 && data[offset + i] !== byte) return 'differs';
      seen[offset + i] = 1;
      data[offset + i] = byte;
    }
    this.end = Math.max(this.end, end);
    while (seen[this.length] === 1) this.length++;
    return undefined;
  }

  private grow(end: number): void {
    const capacity = Math.min(this.limit, Math.max(FIRST_CAPACITY, end, 2 * this.data.length));
    const data = new Uint8Array(capacity);
    const seen = new Uint8Array(capacity);
    data.set(this.data);
    seen.set(this.seen);
    this.data = data;
    this.seen = seen;
  }
}
