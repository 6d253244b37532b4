/** What to do about places that cannot be listened at: names what asked for them. */
import { ListenError, PathTakenError } from '../control/api-listener.ts';
import { RunError } from '../network/errors.ts';
import { LinkInUseError } from '../transports/link-context.ts';
import type { DaemonConfig } from './daemon-config.ts';
import { linkOptionAt } from './socket-paths.ts';

/** Of `hawser run`: its sockets are in a directory of the instance unless they are named. */
const OTHER_NAME = 'another --name has places of its own';

/** @returns the error itself where it is about no such place */
export function placeProblem(error: unknown, config: DaemonConfig): unknown {
  const own = config.words === undefined ? `: ${OTHER_NAME}` : '';
  if (error instanceof ListenError && error.cause instanceof PathTakenError && own !== '') {
    return new ListenError(`--api: ${error.message}${own}`, { cause: error });
  }
  if (!(error instanceof LinkInUseError)) return error;
  const option = linkOptionAt(config, error.place);
  if (option === undefined) return error;
  return new RunError(`${option}: ${error.message}${own}`, { cause: error });
}
