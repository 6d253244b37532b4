import { latin1 } from './latin1.ts';

/** Reads fields one behind the other. What is beyond the end reads as zeros, and the cursor is then not sound any more. */
export class ByteCursor {
  private readonly bytes: Uint8Array;
  private readonly end: number;
  at: number;
  /** Whether everything read was there. */
  isSound = true;

  constructor(bytes: Uint8Array, at = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  /** Everything was there, and nothing is left. */
  get isSpent(): boolean {
    return this.isSound && this.at === this.end;
  }

  u8(): number {
    if (!this.has(1)) return 0;
    return this.bytes[this.at++] ?? 0;
  }

  u16(): number {
    return (this.u8() << 8) | this.u8();
  }

  u24(): number {
    return (this.u16() << 8) | this.u8();
  }

  /** An integer of variable length (RFC 9000 §16). One that no double holds is not sound. */
  varint(): number {
    const first = this.u8();
    let value = first & 0x3f;
    for (let more = (1 << (first >>> 6)) - 1; more > 0; more--) value = value * 0x100 + this.u8();
    if (!Number.isSafeInteger(value)) this.isSound = false;
    return value;
  }

  skip(len: number): void {
    if (this.has(len)) this.at += len;
  }

  /** The next `len` bytes, as a cursor of their own. */
  take(len: number): ByteCursor {
    if (!this.has(len)) {
      const none = new ByteCursor(this.bytes, this.end, this.end);
      none.isSound = false;
      return none;
    }
    this.at += len;
    return new ByteCursor(this.bytes, this.at - len, this.at);
  }

  /** What is left, not copied. */
  rest(): Uint8Array {
    const bytes = this.bytes.subarray(this.at, this.end);
    this.at = this.end;
    return bytes;
  }

  /** What is left, each byte as a character of this code. */
  text(): string {
    return latin1(this.rest());
  }

  private has(len: number): boolean {
    if (this.isSound && len >= 0 && len <= this.end - this.at) return true;
    this.isSound = false;
    this.at = this.end;
    return false;
  }
}
