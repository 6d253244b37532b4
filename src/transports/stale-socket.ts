/** Distinguishes the Unix socket that a dead process left behind from one that is served. */
import { lstatSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { isListenedOn } from '../native/unix-table.ts';

export type PlaceTaken = 'live' | 'not-a-socket';

/**
 * Remove the socket at `path` if no process serves it.
 *
 * @returns why the place is not free, if it is not
 * @throws the system's error when this cannot be determined
 */
export async function removeStaleSocket(path: string): Promise<PlaceTaken | undefined> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  // connect() refuses a regular file as it refuses a dead socket; never remove the user's file.
  if (!found.isSocket()) return 'not-a-socket';
  if (await isLive(path)) return 'live';
  rmSync(path, { force: true });
  return undefined;
}

/** Whether someone accepts connections at `path`. */
function isLive(path: string): Promise<boolean> {
  // To connect is to be a guest, for a moment: a daemon that ends with its guest would end.
  if (isListenedOn(path)) return Promise.resolve(true);
  return new Promise((resolve, reject) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      // Alive, with a full backlog; alive, and of another type.
      else if (error.code === 'EAGAIN' || error.code === 'EPROTOTYPE') resolve(true);
      else reject(error);
    });
  });
}
