/** Bytes gathered from pieces, up to a limit; memory follows the bytes that came, not what was announced. */
/** Memory that is kept for the next bytes. */
const KEPT = 512;

export class Gathered {
  length = 0;
  private readonly limit: number;
  private buffer = new Uint8Array(0);

  constructor(limit: number) {
    this.limit = limit;
  }

  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  /** @returns false, with nothing added, beyond the limit */
  add(bytes: Uint8Array, from: number, to: number): boolean {
    const length = this.length + to - from;
    if (length > this.limit) return false;
    if (length > this.buffer.length) this.grow(length);
    this.buffer.set(bytes.subarray(from, to), this.length);
    this.length = length;
    return true;
  }

  /** Bytes that were looked at before are not valid any more. */
  clear(): void {
    this.length = 0;
    if (this.buffer.length > KEPT) this.buffer = new Uint8Array(0);
  }

  private grow(length: number): void {
    const grown = new Uint8Array(
      Math.min(this.limit, Math.max(KEPT, length, 2 * this.buffer.length)),
    );
    grown.set(this.bytes);
    this.buffer = grown;
  }
}
