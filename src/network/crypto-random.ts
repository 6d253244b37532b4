import { randomBytes } from 'node:crypto';
import type { Random } from '../base/random.ts';

/** The randomness of a real stack: ISNs and hash keys must not be guessed. */
export const cryptoRandom: Random = { next32: () => randomBytes(4).readInt32LE(0) };
