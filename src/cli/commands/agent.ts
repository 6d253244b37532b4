/** `hawser agent`: the same as the bundled program, which starts faster. */

import { distFile } from '../../network/own-files.ts';
import { packageVersion } from '../../network/version.ts';
import { runAgent } from '../agent/run.ts';

/** @returns the exit status */
export const agentCommand = (argv: readonly string[]): Promise<number> =>
  runAgent(argv, {
    version: packageVersion,
    clusterLibrary: distFile('hawser-agent-kubernetes.mjs'),
  });
