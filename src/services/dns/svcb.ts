/** The data of HTTPS and SVCB records (RFC 9460 §2.2): a priority, a name, and parameters in order of their keys. */
import { setU16, skipName, u16 } from './message.ts';

/** RFC 9460 §14.3.2. */
export const IPV4_HINT = 4;
export const IPV6_HINT = 6;
const MANDATORY = 0;

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
