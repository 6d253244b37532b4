/**
 * How long a dial of a link may take before the next attempt, in ms. The kernel's own limit is that of its SYN back-off, two
 * minutes: the other end would be back for long before the link is.
 */
export const DIAL_LIMIT_MS = 5_000;
