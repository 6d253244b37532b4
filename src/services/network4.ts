/** Networks of IPv4, as numbers. */
export interface Network4 {
  readonly net: number;
  /** 1 to 32. */
  readonly bits: number;
}

/** Whether an address, as an int32, is in one of `networks`. */
export function isIn(networks: readonly Network4[], word: number): boolean {
  for (const { net, bits } of networks) if ((word ^ net) >>> (32 - bits) === 0) return true;
  return false;
}
