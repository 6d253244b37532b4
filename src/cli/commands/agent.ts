/** `hawser agent`: the same as the bundled program, which starts faster. */
import { runAgent } from '../agent/run.ts';
import { packageVersion } from '../version.ts';

/** @returns the exit status */
export const agentCommand = (argv: readonly string[]): Promise<number> =>
  runAgent(argv, packageVersion);
