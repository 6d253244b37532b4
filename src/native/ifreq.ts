import { makeSlab, type Slab } from '../base/slab.ts';
import { IFNAMSIZ, IFREQ_LEN } from './constants.ts';

/** Whether Linux accepts `name` for an interface (dev_valid_name): 1 to 15 bytes, no `/` or blanks. */
export const isIfName = (name: string): boolean =>
  /^[^/:\s\0]+$/.test(name) &&
  name !== '.' &&
  name !== '..' &&
  new TextEncoder().encode(name).length < IFNAMSIZ;

export function checkIfName(name: string): void {
  if (!isIfName(name)) {
    throw new RangeError(`bad interface name '${name}': 1 to 15 bytes without / : and blanks`);
  }
}

/** A `struct ifreq` for an interface; its value is at offset `IFNAMSIZ`. */
export function makeIfreq(name: string): Slab {
  const ifreq = makeSlab(IFREQ_LEN);
  ifreq.bytes.set(new TextEncoder().encode(name));
  return ifreq;
}
