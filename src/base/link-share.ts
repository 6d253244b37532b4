/**
 * The share of one link in a table of addresses. Addresses are not lent: one in use cannot be taken back when the table
 * runs short. So a link may hold three times what it leaves free, less one: alone three quarters of the table, and n
 * greedy ones together leave 1/(3n + 1) of it to the next (dynamic thresholds, Choudhury and Hahne 1998).
 */
const TIMES = 3;

/**
 * @param held by the link
 * @param total held by all
 */
export function mayHoldMore(held: number, total: number, limit: number): boolean {
  const free = limit - total;
  return held === 0 ? free > 0 : held < TIMES * (free - 1);
}
