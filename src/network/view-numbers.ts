/** Times as the API shows them: the clock counts in fractions that mean nothing to anybody. */

/** Of what lasts. */
export const wholeMs = (ms: number): number => Math.max(Math.round(ms), 0);

/** Of round trips: to the microsecond. */
export const fineMs = (ms: number): number => Math.max(Math.round(ms * 1000) / 1000, 0);
