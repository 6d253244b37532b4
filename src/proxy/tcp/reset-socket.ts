import type { Socket } from 'node:net';

/**
 * Reset a TCP connection; close another socket at once, for Node throws when it is to reset a Unix socket.
 *
 * While a shutdown is under way libuv refuses a reset (EINVAL), and Node then loses the handle: a guest
 * that sent FIN and RST in one burst would cost a descriptor each time. Such a socket is closed instead:
 * it was ended after all that it had to send.
 */
export function resetSocket(socket: Socket): void {
  const isShuttingDown = socket.writableEnded && !socket.writableFinished;
  if (isShuttingDown) {
    socket.destroy();
    return;
  }
  try {
    socket.resetAndDestroy();
  } catch {
    socket.destroy();
  }
}
