/**
 * Start a call by a thread of the pool. koffi runs so many of them at once, 256 by default, those of the whole process, and throws
 * at one more.
 *
 * @param failed called instead of what `start` would have called, and like that not before this returns
 */
export function startElsewhere(start: () => void, failed: (error: unknown) => void): void {
  try {
    start();
  } catch (error) {
    setImmediate(failed, error);
  }
}
