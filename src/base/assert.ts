/**
 * Check an internal invariant. Input from a guest or the network is never checked by this, but by functions that
 * return a reason.
 *
 * @throws Error when `condition` is false: a bug in hawser
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`hawser bug: ${message}`);
}
