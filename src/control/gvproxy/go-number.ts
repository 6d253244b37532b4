/** Numbers in requests, as Go's `strconv` reads them. */

const MAX = 65_535;

/** `strconv.ParseUint(text, 10, 16)`. @returns the number, or the text of the error */
export function parseGoUint16(text: string): number | string {
  const fail = (why: string): string =>
    `strconv.ParseUint: parsing ${JSON.stringify(text)}: ${why}`;
  if (!/^\d+$/.test(text)) return fail('invalid syntax');
  return Number(text) > MAX ? fail('value out of range') : Number(text);
}
