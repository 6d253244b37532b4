/** HPACK's code for strings (RFC 7541 §5.2, appendix B): canonical, so that the lengths of its codes say everything. */

import { once } from '../../base/once.ts';

const LENGTHS: readonly number[] = [
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  ...[28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  ...[6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  ...[5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  ...[13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  ...[7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  ...[6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  ...[20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  ...[24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  ...[22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  ...[21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  ...[26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  ...[19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  ...[20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  ...[26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  30, // the end of the string
];
const END = 256;
const LONGEST = 30;
const MAX_PADDING = 7;

/** The codes of one length are consecutive numbers, in the order of their symbols. */
interface CodesOfLength {
  readonly first: number;
  readonly symbols: readonly number[];
}

/** Made for the first string. */
const codes = once(codesByLength);

function codesByLength(): readonly CodesOfLength[] {
  const made: CodesOfLength[] = [];
  let first = 0;
  for (let len = 0; len <= LONGEST; len++) {
    const symbols = [...LENGTHS.keys()].filter((symbol) => LENGTHS[symbol] === len);
    made.push({ first, symbols });
    first = (first + symbols.length) * 2;
  }
  return made;
}

/** @returns each byte as a character; undefined for a code that is none, or padding that is not of ones */
export function decodeHuffman(bytes: Uint8Array): string | undefined {
  const byLength = codes();
  let text = '';
  let code = 0;
  let len = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >>> bit) & 1);
      len++;
      const { first, symbols } = byLength[len] ?? NONE;
      const symbol = symbols[code - first];
      if (symbol === undefined && len < LONGEST) continue;
      if (symbol === undefined || symbol === END) return undefined;
      text += String.fromCharCode(symbol);
      code = 0;
      len = 0;
    }
  }
  return len <= MAX_PADDING && code === 2 ** len - 1 ? text : undefined;
}

const NONE: CodesOfLength = { first: 0, symbols: [] };
