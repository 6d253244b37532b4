/** Names as they are in messages: labels behind their lengths, the root's last (RFC 1035 §3.1). */
import { MAX_NAME_LEN, u16 } from './message.ts';

const POINTER = 0xc0;
const POINTER_MASK = 0x3fff;

/** @returns a copy of the name at `off` without compression (RFC 1035 §4.1.4), or undefined for what is no name */
export function expandName(bytes: Uint8Array, off: number): Uint8Array | undefined {
  const name = new Uint8Array(MAX_NAME_LEN);
  let written = 0;
  let at = off;
  let lowest = off;
  for (;;) {
    const len = bytes[at];
    if (len === undefined) return undefined;
    if (len >= POINTER) {
      const target = u16(bytes, at) & POINTER_MASK;
      // To an earlier name only: what points forwards may never end.
      if (at + 1 >= bytes.length || target >= lowest) return undefined;
      lowest = target;
      at = target;
      continue;
    }
    const end = at + 1 + len;
    if (len > 63 || end > bytes.length || written + 1 + len > MAX_NAME_LEN) return undefined;
    name.set(bytes.subarray(at, end), written);
    written += 1 + len;
    if (len === 0) return name.slice(0, written);
    at = end;
  }
}

/** @param name of labels of plain text, without the last dot */
export function wireName(name: string): Uint8Array {
  const bytes = new Uint8Array(name.length + 2);
  let at = 0;
  for (const label of name.split('.')) {
    bytes[at++] = label.length;
    for (let i = 0; i < label.length; i++) bytes[at++] = label.charCodeAt(i);
  }
  return bytes;
}
