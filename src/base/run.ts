/**
 * A contiguous run of bytes: `len` at `off` of `bytes`. To avoid a new view for each, all functions that return one
 * share this record, which is to be read before the next call.
 */
export interface Run {
  readonly bytes: Uint8Array;
  readonly off: number;
  readonly len: number;
}

interface MutableRun extends Run {
  bytes: Uint8Array;
  off: number;
  len: number;
}

const run: MutableRun = { bytes: new Uint8Array(0), off: 0, len: 0 };

/** Fill in the record. */
export function runOf(bytes: Uint8Array, off: number, len: number): Run {
  run.bytes = bytes;
  run.off = off;
  run.len = len;
  return run;
}

export const viewOf = ({ bytes, off, len }: Run): Uint8Array => bytes.subarray(off, off + len);
