/** Times as the API shows them, rounded: further digits of the clock are noise. */

/** For durations. */
export const wholeMs = (ms: number): number => Math.max(Math.round(ms), 0);

/** For round-trip times: to the microsecond. */
export const fineMs = (ms: number): number => Math.max(Math.round(ms * 1000) / 1000, 0);
