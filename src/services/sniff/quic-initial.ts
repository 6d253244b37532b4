/** Opens Initial packets of a client, and reads the frames that they hold (RFC 9001 §5.3, §5.4; RFC 9000 §12.4, §19). */
import { ByteCursor } from './byte-cursor.ts';
import type { QuicCrypto, QuicKeys } from './quic-keys.ts';
import type { LongPacket } from './quic-packet.ts';

const SAMPLE_AT = 4;
const SAMPLE_LEN = 16;
const PADDING = 0;
const PING = 1;
const ACK = 2;
const ACK_ECN = 3;
const CRYPTO = 6;
const CONNECTION_CLOSE = 0x1c;

export interface OpenedPacket {
  readonly number: number;
  /** Frames. */
  readonly payload: Uint8Array;
}

/** A CRYPTO frame: a part of the stream in which the handshake is. */
export interface CryptoFrame {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * @param bytes the datagram, which is left as it is
 * @param largest packet number opened with these keys so far; -1 before any
 * @returns undefined when the packet was not protected with these keys
 */
export function openInitial(
  crypto: QuicCrypto,
  keys: QuicKeys,
  bytes: Uint8Array,
  packet: LongPacket,
  largest: number,
): OpenedPacket | undefined {
  const { from, numberAt, to } = packet;
  const sampleAt = numberAt + SAMPLE_AT;
  const mask = crypto.encryptBlock(keys.hp, bytes.subarray(sampleAt, sampleAt + SAMPLE_LEN));
  const header = new Uint8Array(bytes.subarray(from, numberAt + 4));
  header[0] = (header[0] ?? 0) ^ ((mask[0] ?? 0) & 0x0f);
  const numberLen = (header[0] & 3) + 1;
  const start = numberAt - from;
  let truncated = 0;
  for (let i = 0; i < numberLen; i++) {
    const byte = (header[start + i] ?? 0) ^ (mask[1 + i] ?? 0);
    header[start + i] = byte;
    truncated = truncated * 0x100 + byte;
  }
  const number = packetNumber(largest, truncated, numberLen);
  const nonce = nonceOf(keys.iv, number);
  const sealed = bytes.subarray(numberAt + numberLen, to);
  const payload = crypto.open(keys.key, nonce, header.subarray(0, start + numberLen), sealed);
  return payload === undefined ? undefined : { number, payload };
}

/** RFC 9000 appendix A.3. */
function packetNumber(largest: number, truncated: number, numberLen: number): number {
  const expected = largest + 1;
  const window = 2 ** (8 * numberLen);
  const candidate = expected - (expected % window) + truncated;
  if (candidate <= expected - window / 2) return candidate + window;
  return candidate > expected + window / 2 && candidate >= window ? candidate - window : candidate;
}

function nonceOf(iv: Uint8Array, number: number): Uint8Array {
  const nonce = new Uint8Array(iv);
  let left = number;
  for (let at = nonce.length - 1; left > 0 && at >= 0; at--) {
    nonce[at] = (nonce[at] ?? 0) ^ (left % 0x100);
    left = Math.floor(left / 0x100);
  }
  return nonce;
}

/** @returns undefined for a frame that is malformed, or that Initial packets have not (RFC 9000 §12.4) */
export function cryptoFrames(payload: Uint8Array): readonly CryptoFrame[] | undefined {
  const frames: CryptoFrame[] = [];
  const cursor = new ByteCursor(payload);
  while (cursor.left > 0) {
    const type = cursor.u8();
    if (type === PADDING || type === PING) continue;
    if (type === CRYPTO) {
      const offset = cursor.varint();
      const len = cursor.varint();
      const from = cursor.at;
      cursor.skip(len);
      if (cursor.isSound) frames.push({ offset, bytes: payload.subarray(from, cursor.at) });
    } else if (type === ACK || type === ACK_ECN) skipAck(cursor, type === ACK_ECN);
    else if (type === CONNECTION_CLOSE) skipClose(cursor);
    else return undefined;
    if (!cursor.isSound) return undefined;
  }
  return frames;
}

/** RFC 9000 §19.3. */
function skipAck(cursor: ByteCursor, hasEcn: boolean): void {
  cursor.varint(); // the largest
  cursor.varint(); // the delay
  const ranges = cursor.varint();
  cursor.varint(); // the first range
  for (let i = 0; i < ranges && cursor.isSound; i++) {
    cursor.varint();
    cursor.varint();
  }
  for (let i = 0; i < 3 && hasEcn; i++) cursor.varint();
}

/** RFC 9000 §19.19. */
function skipClose(cursor: ByteCursor): void {
  cursor.varint(); // the error
  cursor.varint(); // the type of the frame
  cursor.skip(cursor.varint());
}
