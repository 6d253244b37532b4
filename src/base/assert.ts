/**
 * Check an invariant of ours. What a guest or the network sends is judged by a returned reason,
 * never by this.
 *
 * @throws Error when `condition` is false: a bug in hawser
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`hawser bug: ${message}`);
}
