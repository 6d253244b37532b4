/**
 * Watches for the end of the other side of a launcher's descriptor. Closing the other end of a socket is an
 * event; that of a pipe is visible to the writer only by polling (poll(2): POLLERR), which Node cannot do.
 */
import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { UsageError } from '../network/errors.ts';

const POLL_MS = 500;

/**
 * @param fd stays open until the watch stops
 * @param onGone called once
 * @returns a function that stops the watch, and closes the descriptor
 * @throws UsageError unless it is a pipe or a socket; NativeUnavailableError for a pipe without koffi
 */
export async function watchReader(fd: number, onGone: () => void): Promise<() => void> {
  const stat = fstatSync(fd);
  if (stat.isSocket()) return watchEnd(fd, onGone);
  if (stat.isFIFO()) return await watchPipe(fd, onGone);
  throw new UsageError([`--exit-with-ready-fd: descriptor ${fd} must be a pipe or a socket`]);
}

/**
 * @param fd a socket, or a pipe to read from; what comes of it is discarded
 * @param onGone called once, when nothing more can come
 * @returns a function that stops the watch, and closes the descriptor
 */
export function watchEnd(fd: number, onGone: () => void): () => void {
  const socket = new Socket({ fd });
  let stopped = false;
  socket.on('error', () => {}); // `close` follows
  socket.on('close', () => {
    if (!stopped) onGone();
  });
  socket.resume();
  socket.unref();
  return () => {
    stopped = true;
    socket.destroy();
  };
}

async function watchPipe(fd: number, onGone: () => void): Promise<() => void> {
  const { loadPosix } = await import('../native/load.ts');
  const posix = loadPosix('notice that --ready-fd has no reader');
  const timer = setInterval(() => {
    if (!posix.isBroken(fd)) return;
    clearInterval(timer);
    onGone();
  }, POLL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
