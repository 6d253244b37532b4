/** Long headers of QUIC (RFC 9000 §17.2; RFC 9369 §3.2), as a client sends them. */
import { ByteCursor } from './byte-cursor.ts';

export type QuicVersion = 1 | 2;

/** One packet of a datagram, which may hold several (RFC 9000 §12.2). */
export interface LongPacket {
  readonly version: QuicVersion;
  readonly isInitial: boolean;
  readonly destination: Uint8Array;
  readonly from: number;
  /** Where the packet number begins, which is protected. */
  readonly numberAt: number;
  /** Where the next packet begins. */
  readonly to: number;
}

const LONG = 0x80;
const VERSION_1 = 1;
const VERSION_2 = 0x6b3343cf;
/** draft-ietf-quic-v2, before it was RFC 9369. */
const DRAFT_OF_VERSION_2 = 0x709a50c4;
const MAX_ID = 20;
/** RFC 9001 §5.4.2: the sample for header protection. */
const MIN_PROTECTED = 4 + 16;
/** RFC 9000 §17.2.5: a client never sends Retry. */
const RETRY_1 = 3;
const RETRY_2 = 0;
const INITIAL_1 = 0;
const INITIAL_2 = 1;

export const isLong = (first: number): boolean => (first & LONG) !== 0;

/** @returns undefined for another version, or none */
export function quicVersion(bytes: Uint8Array, from: number, to: number): QuicVersion | undefined {
  const version = versionField(bytes, from, to);
  if (version === VERSION_1) return 1;
  return version === VERSION_2 ? 2 : undefined;
}

/**
 * Whether a datagram begins like a long header of a version that cannot be read here: a draft (IETF's, Google's), or one
 * reserved to force negotiation (RFC 9000 §15).
 */
export function isUnreadableVersion(bytes: Uint8Array, from: number, to: number): boolean {
  const version = versionField(bytes, from, to);
  if (version === undefined) return false;
  const maker = version >>> 24;
  const isDraft = version >>> 8 === 0xff0000 || version === DRAFT_OF_VERSION_2;
  const isGoogle = (maker === 0x51 || maker === 0x54) && /^[0-9]{3}$/.test(textOf(version));
  return isDraft || isGoogle || (version & 0x0f0f0f0f) === 0x0a0a0a0a;
}

/** The fixed bit may be of either value (RFC 9287). @returns undefined when it is malformed, or of another version */
export function readLongPacket(
  bytes: Uint8Array,
  from: number,
  to: number,
): LongPacket | undefined {
  const version = quicVersion(bytes, from, to);
  const cursor = new ByteCursor(bytes, from, to);
  const first = cursor.u8();
  if (version === undefined || !isLong(first)) return undefined;
  cursor.skip(4);
  const destinationLen = cursor.u8();
  const destination = bytes.subarray(cursor.at, cursor.at + destinationLen);
  cursor.skip(destinationLen);
  const sourceLen = cursor.u8();
  cursor.skip(sourceLen);
  const type = (first >>> 4) & 3;
  if (type === (version === 1 ? RETRY_1 : RETRY_2)) return undefined;
  const isInitial = type === (version === 1 ? INITIAL_1 : INITIAL_2);
  if (isInitial) cursor.skip(cursor.varint());
  const len = cursor.varint();
  const numberAt = cursor.at;
  cursor.skip(len);
  const isSound =
    cursor.isSound && len >= MIN_PROTECTED && destinationLen <= MAX_ID && sourceLen <= MAX_ID;
  return isSound ? { version, isInitial, destination, from, numberAt, to: cursor.at } : undefined;
}

function versionField(bytes: Uint8Array, from: number, to: number): number | undefined {
  if (to - from < 5 || !isLong(bytes[from] ?? 0)) return undefined;
  const [, a = 0, b = 0, c = 0, d = 0] = bytes.subarray(from, from + 5);
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

const textOf = (version: number): string =>
  String.fromCharCode((version >>> 16) & 0xff, (version >>> 8) & 0xff, version & 0xff);
