/** A file of a command line that is followed live: what it says is in force, and while it says nothing that can be used, what it said before. */
import { messageOf } from '../../../network/errors.ts';
import { FileFollower } from '../../../proxy/dns/file-follower.ts';
import type { ServingDaemon } from '../../daemon.ts';

/**
 * Used once before this returns.
 *
 * @param what is in the file, for the log
 * @param use is given its text, '' while there is no file; may throw
 */
export async function followFile(
  path: string,
  what: string,
  daemon: Pick<ServingDaemon, 'add' | 'log'>,
  use: (text: string) => void | Promise<void>,
): Promise<void> {
  let before: Promise<void> = Promise.resolve();
  const follower = new FileFollower(path, (text) => {
    before = before
      .then(() => use(text))
      .catch((error: unknown) => {
        daemon.log.warn({ path, why: messageOf(error) }, `${what} stay as they were`);
      });
  });
  daemon.add({ close: () => follower.close() });
  await before;
}
