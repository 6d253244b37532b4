/** Started in a network namespace, see `tap-tools.ts`: passes out what a TAP is made with there, and ends. */
import { loadPosix } from '../../native/load.ts';
import { messageOf } from '../../network/errors.ts';

/** The first of those that are not the standard ones. */
const PASS_FD = 3;

try {
  const posix = loadPosix('open a TAP');
  const { tunnel, control } = posix.openTapTools();
  posix.sendWithFds(PASS_FD, new Uint8Array(1), [tunnel, control]);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
