import type { Log } from '../../../base/log.ts';
import type { Posix } from '../../../native/posix.ts';
import { watchSocketEnds } from '../../../native/socket-ends.ts';

/** As {@link watchSocketEnds}, of this thread's namespace; without it a withdrawal waits for the next look. */
export function watchEnds(
  posix: Posix,
  log: Log,
  onEnd: (port: number) => void,
): { close(): void } {
  try {
    return watchSocketEnds(posix, onEnd);
  } catch (error) {
    log.debug({ err: error }, 'the kernel does not tell of sockets that end');
    return { close: () => {} };
  }
}
