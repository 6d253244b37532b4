/** The source of randomness of the pure layers: an argument, so that a test can seed it. */
export interface Random {
  /** An integer, uniform in [-2^31, 2^31). */
  next32(): number;
}

/** xorshift128, for tests and simulations only: not fit for ISNs or keys. */
export function seededRandom(seed: number): Random {
  let x = seed | 0 || 0x9e37_79b9;
  let y = 0x2436_4a1b;
  let z = 0x6c07_8965;
  let w = seed ^ 0x5bd1_e995;
  const next32 = (): number => {
    const t = x ^ (x << 11);
    x = y;
    y = z;
    z = w;
    w = (w ^ (w >>> 19) ^ t ^ (t >>> 8)) | 0;
    return w;
  };
  for (let i = 0; i < 16; i++) next32();
  return { next32 };
}

/** A float in [0, 1). */
export const nextUnit = (random: Random): number => (random.next32() >>> 0) / 0x1_0000_0000;
