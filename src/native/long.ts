const WORD = 0x1_0000_0000;

/** Write an address or a size as two words, the low one first. Addresses of a 64-bit process are below 2^53. */
export function setLong(words: Uint32Array, at: number, value: number): void {
  words[at] = value % WORD;
  words[at + 1] = Math.floor(value / WORD);
}
