import { makeSlab, type Slab } from '../base/slab.ts';
import { IFREQ_LEN } from './constants.ts';
import { isIfName } from './if-name.ts';

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
