/**
 * DNS over TCP (RFC 1035 §4.2.2, RFC 7766): each message behind its length in two bytes. Sans-IO:
 * bytes of any cut go in, whole messages come out as copies. At most one message is held.
 */
import { DNS_HEADER_LEN, setU16 } from './message.ts';

export type DnsFramingProblem = 'dns-tcp-too-short' | 'dns-tcp-too-long';

const FIRST_CAPACITY = 512;

export class DnsTcpReader {
  private readonly maxLen: number;
  private readonly onMessage: (message: Uint8Array) => void;
  private problem: DnsFramingProblem | undefined = undefined;
  /** Bytes of the length field seen, 0..2. */
  private lengthSeen = 0;
  private length = 0;
  private have = 0;
  private buffer: Uint8Array = new Uint8Array(0);

  /** @param onMessage is given bytes that it may keep */
  constructor(maxLen: number, onMessage: (message: Uint8Array) => void) {
    this.maxLen = maxLen;
    this.onMessage = onMessage;
  }

  /** Whether a message has begun and not ended. */
  get partial(): boolean {
    return this.lengthSeen > 0;
  }

  /** @returns why to close the connection; the same again for every later call */
  push(
    bytes: Uint8Array,
    off = 0,
    len: number = bytes.length - off,
  ): DnsFramingProblem | undefined {
    let at = off;
    const end = off + len;
    while (at < end && this.problem === undefined) {
      if (this.lengthSeen < 2) {
        this.length = ((this.length << 8) | (bytes[at] ?? 0)) & 0xffff;
        this.lengthSeen++;
        at++;
        if (this.lengthSeen === 2) this.checkLength();
        continue;
      }
      const n = Math.min(end - at, this.length - this.have);
      this.reserve(this.have + n);
      this.buffer.set(bytes.subarray(at, at + n), this.have);
      this.have += n;
      at += n;
      if (this.have === this.length) this.finish();
    }
    return this.problem;
  }

  private checkLength(): void {
    if (this.length < DNS_HEADER_LEN) this.problem = 'dns-tcp-too-short';
    else if (this.length > this.maxLen) this.problem = 'dns-tcp-too-long';
  }

  /** Memory follows the bytes that came, not the length that was announced. */
  private reserve(lenBytes: number): void {
    if (lenBytes <= this.buffer.length) return;
    const capacity = Math.max(FIRST_CAPACITY, lenBytes, this.buffer.length * 2);
    const grown = new Uint8Array(Math.min(capacity, this.length));
    grown.set(this.buffer.subarray(0, this.have));
    this.buffer = grown;
  }

  private finish(): void {
    const message = this.buffer.subarray(0, this.length);
    this.buffer = new Uint8Array(0);
    this.lengthSeen = 0;
    this.length = 0;
    this.have = 0;
    this.onMessage(message);
  }
}

/** The message's length. */
export const FRAME_HEADER_LEN = 2;

/** A message behind its length. */
export function frameDnsMessage(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(FRAME_HEADER_LEN + message.length);
  setU16(framed, 0, message.length);
  framed.set(message, FRAME_HEADER_LEN);
  return framed;
}
