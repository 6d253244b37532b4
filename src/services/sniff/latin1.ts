/** Each byte as a character of this code. Eight at a time: spreading an array into arguments costs several times as much. */
export function latin1(bytes: Uint8Array, from = 0, to: number = bytes.length): string {
  let text = '';
  let at = from;
  for (; at + 8 <= to; at += 8) {
    text += String.fromCharCode(
      bytes[at] ?? 0,
      bytes[at + 1] ?? 0,
      bytes[at + 2] ?? 0,
      bytes[at + 3] ?? 0,
      bytes[at + 4] ?? 0,
      bytes[at + 5] ?? 0,
      bytes[at + 6] ?? 0,
      bytes[at + 7] ?? 0,
    );
  }
  for (; at < to; at++) text += String.fromCharCode(bytes[at] ?? 0);
  return text;
}
