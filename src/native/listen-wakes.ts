/** Wakes this process when sockets begin to listen or end; seldom where that goes on all the time. */
import type { ListenEvents } from './posix.ts';
import { watchReadable } from './watch.ts';

/** After a wake: where many sockets come and go, they wake nobody more often than that. */
export const WAKE_REST_MS = 100;

/**
 * `events` belong to the watch from now on. Nothing here keeps the process up.
 *
 * @throws NativeUnavailableError
 */
export function watchListenEvents(events: ListenEvents, onWake: () => void): { close(): void } {
  let timer: NodeJS.Timeout | undefined;
  const wake = (): void => {
    if (timer !== undefined) return;
    for (const watch of watches) watch.pause();
    timer = setTimeout(() => {
      timer = undefined;
      for (const watch of watches) watch.resume();
    }, WAKE_REST_MS).unref();
    onWake();
  };
  const watches = events.fds.map((fd) => watchReadable(fd, wake));
  for (const watch of watches) watch.unref();
  return {
    close: () => {
      clearTimeout(timer);
      events.unmap();
      for (const watch of watches) watch.close();
    },
  };
}
