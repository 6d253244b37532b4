/** Wakes this process once when sockets begin to listen or end, and again when it is asked to. */
import type { ListenEvents } from './posix.ts';
import { watchReadable } from './watch.ts';

export interface ListenWakes {
  /** Wake at the next event; at once, if there was one meanwhile. */
  resume(): void;
  close(): void;
}

/**
 * perf_poll says only once that there is something, also to an epoll that nobody listens to any more, or that asks while
 * it is told to watch: so that rings are looked into themselves, once they are watched again.
 *
 * `events` belong to the watch from now on. Nothing here keeps the process up.
 *
 * @throws NativeUnavailableError
 */
export function watchListenEvents(events: ListenEvents, onWake: () => void): ListenWakes {
  let isWaiting = true;
  const wake = (): void => {
    if (!isWaiting) return;
    isWaiting = false;
    for (const watch of watches) watch.pause();
    onWake();
  };
  const watches = events.fds.map((fd) => watchReadable(fd, wake));
  for (const watch of watches) watch.unref();
  const lookOnceWatched = (): void => {
    setImmediate(() => {
      if (isWaiting && events.hasSome()) wake();
    });
  };
  lookOnceWatched();
  return {
    resume: () => {
      if (isWaiting) return;
      isWaiting = true;
      for (const watch of watches) watch.resume();
      lookOnceWatched();
    },
    close: () => {
      isWaiting = false;
      events.unmap();
      for (const watch of watches) watch.close();
    },
  };
}
