/** The data of HTTPS and SVCB records (RFC 9460 §2.2): a priority, a name, and parameters in order of their keys. */
import { IpAddress, ipv4 } from '../../base/ip-address.ts';
import { setU16, skipName, u16, u32 } from './message.ts';

/** RFC 9460 §14.3.2. */
export const IPV4_HINT = 4;
export const IPV6_HINT = 6;
/** The server's keys for names that nobody on the way can read (RFC 9848). */
export const ECH = 5;
const MANDATORY = 0;
const HINT_SIZES: readonly (readonly [key: number, size: number])[] = [
  [IPV4_HINT, 4],
  [IPV6_HINT, 16],
];

/** @returns the data without that parameter; the same data when it has none, or cannot be read */
export function withoutParameter(data: Uint8Array, unwanted: number): Uint8Array {
  const first = skipName(data, 2);
  if (first < 0) return data;
  for (let at = first; at + 4 <= data.length; ) {
    const end = at + 4 + u16(data, at + 2);
    if (end > data.length) return data;
    if (u16(data, at) === unwanted) return withoutMandatory(cut(data, at, end), first, unwanted);
    at = end;
  }
  return data;
}

/** @returns every address of its hints (RFC 9460 §7.3); none of what cannot be read */
export const hintsOf = (data: Uint8Array): readonly IpAddress[] =>
  HINT_SIZES.flatMap(([key, size]) => addressesOf(data, parameterOf(data, key), size));

/** @returns the data with those of its hints alone that `keeps` is true of; the same data when these are all */
export function withHints(data: Uint8Array, keeps: (address: IpAddress) => boolean): Uint8Array {
  let rest = data;
  for (const [key, size] of HINT_SIZES) {
    const value = parameterOf(rest, key);
    const kept = addressesOf(rest, value, size).map(keeps);
    if (value === undefined || !kept.includes(false)) continue;
    if (!kept.includes(true)) rest = withoutParameter(rest, key);
    else rest = withoutParts(rest, value, size, kept);
  }
  return rest;
}

/** Where the value of a parameter is. */
interface Value {
  readonly from: number;
  readonly end: number;
}

function parameterOf(data: Uint8Array, wanted: number): Value | undefined {
  const first = skipName(data, 2);
  if (first < 0) return undefined;
  for (let at = first; at + 4 <= data.length; ) {
    const from = at + 4;
    const end = from + u16(data, at + 2);
    if (end > data.length) return undefined;
    if (u16(data, at) === wanted) return { from, end };
    at = end;
  }
  return undefined;
}

function addressesOf(data: Uint8Array, value: Value | undefined, size: number): IpAddress[] {
  const found: IpAddress[] = [];
  if (value === undefined) return found;
  for (let at = value.from; at + size <= value.end; at += size) {
    const word = (i: number): number => u32(data, at + 4 * i);
    found.push(size === 4 ? ipv4(word(0)) : new IpAddress(word(0), word(1), word(2), word(3)));
  }
  return found;
}

function withoutParts(
  data: Uint8Array,
  { from }: Value,
  size: number,
  kept: readonly boolean[],
): Uint8Array {
  let rest = data;
  for (let i = kept.length - 1; i >= 0; i--) {
    if (kept[i] === false) rest = cut(rest, from + i * size, from + (i + 1) * size);
  }
  setU16(rest, from - 2, size * kept.filter(Boolean).length);
  return rest;
}

/** RFC 9460 §8: a parameter that is mandatory must be there. */
function withoutMandatory(data: Uint8Array, first: number, unwanted: number): Uint8Array {
  if (first + 4 > data.length || u16(data, first) !== MANDATORY) return data;
  const len = u16(data, first + 2);
  const end = first + 4 + len;
  for (let at = first + 4; at + 2 <= end; at += 2) {
    if (u16(data, at) !== unwanted) continue;
    if (len === 2) return cut(data, first, end);
    const shorter = cut(data, at, at + 2);
    setU16(shorter, first + 2, len - 2);
    return shorter;
  }
  return data;
}

function cut(data: Uint8Array, from: number, to: number): Uint8Array {
  const rest = new Uint8Array(data.length - (to - from));
  rest.set(data.subarray(0, from));
  rest.set(data.subarray(to), from);
  return rest;
}
