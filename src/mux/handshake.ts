/**
 * The handshake: both ends write at once `https://github.com/moby/vpnkit multiplexer protocol\n`,
 * a u16 payload length and the payload. VPNKit's is empty, and it ignores ours.
 *
 * hawser's payload offers the extended mode: `hwsr | u8 version | u8 role | u16 reserved |
 * u32 window | u32 max payload | u32 max channels`, each what the *sender of it* takes. The mode is
 * used when both ends offered it with different roles; a peer that echoes our payload has our role.
 */

const TEXT = 'https://github.com/moby/vpnkit multiplexer protocol\n';
const PRELUDE: Uint8Array = new TextEncoder().encode(TEXT);
/** Bytes up to and with the payload's length. */
export const HANDSHAKE_LEN: number = PRELUDE.length + 2;

const MAGIC = 0x68777372; // "hwsr", big-endian
const VERSION = 1;
export const OFFER_LEN = 20;

/** Which end dialled the link: it allocates ids downward from 2^32 - 1, the listener upward from 0. */
export type MuxRole = 'connector' | 'listener';

/** What one end takes in the extended mode. */
export interface Offer {
  readonly role: MuxRole;
  /** Bytes that may be sent on a new channel before its first Window. */
  readonly window: number;
  /** Largest payload of a Data frame. */
  readonly maxPayload: number;
  /** Channels open at a time, opened by either end. */
  readonly maxChannels: number;
}

/** @returns whether the first `len` bytes at `off` are those of a handshake */
export function isHandshake(bytes: Uint8Array, off: number, len: number): boolean {
  const n = Math.min(len, PRELUDE.length);
  for (let i = 0; i < n; i++) if (bytes[off + i] !== PRELUDE[i]) return false;
  return true;
}

export const handshakePayloadLen = (view: DataView, off: number): number =>
  view.getUint16(off + PRELUDE.length, true);

/** @returns bytes written: at most `HANDSHAKE_LEN + OFFER_LEN` */
export function emitHandshake(view: DataView, off: number, offer: Offer | undefined): number {
  new Uint8Array(view.buffer, view.byteOffset + off, PRELUDE.length).set(PRELUDE);
  view.setUint16(off + PRELUDE.length, offer === undefined ? 0 : OFFER_LEN, true);
  if (offer === undefined) return HANDSHAKE_LEN;
  const at = off + HANDSHAKE_LEN;
  view.setUint32(at, MAGIC);
  view.setUint8(at + 4, VERSION);
  view.setUint8(at + 5, offer.role === 'connector' ? 0 : 1);
  view.setUint16(at + 6, 0, true);
  view.setUint32(at + 8, offer.window, true);
  view.setUint32(at + 12, offer.maxPayload, true);
  view.setUint32(at + 16, offer.maxChannels, true);
  return HANDSHAKE_LEN + OFFER_LEN;
}

/** @returns undefined when the payload is not an offer (of a version we know) */
export function parseOffer(view: DataView, off: number, len: number): Offer | undefined {
  if (len < OFFER_LEN || view.getUint32(off) !== MAGIC || view.getUint8(off + 4) !== VERSION) {
    return undefined;
  }
  const role = view.getUint8(off + 5);
  const maxPayload = view.getUint32(off + 12, true);
  if (role > 1 || maxPayload === 0) return undefined;
  return {
    role: role === 0 ? 'connector' : 'listener',
    window: view.getUint32(off + 8, true),
    maxPayload,
    maxChannels: view.getUint32(off + 16, true),
  };
}
