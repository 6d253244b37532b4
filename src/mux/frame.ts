/**
 * Frames of VPNKit's multiplexer, little-endian: `u16 header length | u8 command | u32 id | body`,
 * and for Data the payload behind the header. The header length counts itself; what exceeds the
 * fields known here is skipped, so that headers can grow. Commands from 16 on are hawser's own and
 * sent only where the handshake negotiated them. Ids are int32 (print with `>>> 0`).
 */

export const OPEN = 1;
export const CLOSE = 2;
export const SHUTDOWN = 3;
export const DATA = 4;
export const WINDOW = 5;
/** Extended: the Open is granted. */
export const ACCEPT = 16;
/** Extended: Close with a reason, and nothing more may be read: u8 reason, u16 length, UTF-8 text. */
export const RESET = 17;
/** Extended, id 0: u32 token, to be sent back as a Pong. */
export const PING = 18;
export const PONG = 19;
/** Extended, id 0: the sender takes no more Opens. */
export const GO_AWAY = 20;

export const FRAME_HEADER_LEN = 7;
export const DATA_HEADER_LEN = 11;
export const WINDOW_LEN = 15;
export const PING_LEN = 11;
const RESET_MIN_LEN = 10;

const COMMAND = 2;
const ID = 3;
const BODY = FRAME_HEADER_LEN;

const TWO_POW_32 = 0x1_0000_0000;

export const frameHeaderLen = (view: DataView, off: number): number => view.getUint16(off, true);
export const frameCommand = (view: DataView, off: number): number => view.getUint8(off + COMMAND);
export const frameId = (view: DataView, off: number): number => view.getInt32(off + ID, true);
/** Of a Data frame. */
export const payloadLen = (view: DataView, off: number): number => view.getUint32(off + BODY, true);
/** Of a Window frame: bytes that may have been sent since Open, at most 2^53 - 1. */
export function windowLimit(view: DataView, off: number): number {
  const limit =
    view.getUint32(off + BODY + 4, true) * TWO_POW_32 + view.getUint32(off + BODY, true);
  return Math.min(limit, Number.MAX_SAFE_INTEGER);
}
/** Of a Ping or Pong. */
export const pingToken = (view: DataView, off: number): number => view.getUint32(off + BODY, true);
/** Of a Reset. */
export const resetCode = (view: DataView, off: number): number => view.getUint8(off + BODY);
/** Text of a Reset, cut at the header's end. */
export function resetText(view: DataView, off: number, headerLen: number): string {
  const len = Math.min(view.getUint16(off + BODY + 1, true), headerLen - RESET_MIN_LEN);
  return new TextDecoder().decode(
    new Uint8Array(view.buffer, view.byteOffset + off + RESET_MIN_LEN, len),
  );
}

/** The least header length of a known command; that of any frame for an unknown one. */
export function leastHeaderLen(command: number): number {
  switch (command) {
    case DATA:
      return DATA_HEADER_LEN;
    case WINDOW:
      return WINDOW_LEN;
    case OPEN:
      return FRAME_HEADER_LEN + 2;
    case RESET:
      return RESET_MIN_LEN;
    case PING:
    case PONG:
      return PING_LEN;
    default:
      return FRAME_HEADER_LEN;
  }
}

/** Header without body: the whole of Close, Shutdown, Accept and GoAway. @returns its length */
export function emitFrame(
  view: DataView,
  off: number,
  len: number,
  command: number,
  id: number,
): number {
  view.setUint16(off, len, true);
  view.setUint8(off + COMMAND, command);
  view.setInt32(off + ID, id, true);
  return len;
}

/** The payload follows at `off + DATA_HEADER_LEN`. */
export function emitDataHeader(view: DataView, off: number, id: number, len: number): void {
  emitFrame(view, off, DATA_HEADER_LEN, DATA, id);
  view.setUint32(off + BODY, len, true);
}

export function emitWindow(view: DataView, off: number, id: number, limit: number): number {
  view.setUint32(off + BODY, limit % TWO_POW_32, true);
  view.setUint32(off + BODY + 4, Math.floor(limit / TWO_POW_32), true);
  return emitFrame(view, off, WINDOW_LEN, WINDOW, id);
}

export function emitPing(view: DataView, off: number, command: number, token: number): number {
  view.setUint32(off + BODY, token, true);
  return emitFrame(view, off, PING_LEN, command, 0);
}

/** @param text at most 65,525 bytes */
export function emitReset(
  view: DataView,
  off: number,
  id: number,
  code: number,
  text: Uint8Array,
): number {
  view.setUint8(off + BODY, code);
  view.setUint16(off + BODY + 1, text.length, true);
  new Uint8Array(view.buffer, view.byteOffset + off + RESET_MIN_LEN, text.length).set(text);
  return emitFrame(view, off, RESET_MIN_LEN + text.length, RESET, id);
}

/** Room that a Reset with `textLen` bytes of text needs. */
export const resetLen = (textLen: number): number => RESET_MIN_LEN + textLen;
