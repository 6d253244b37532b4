#!/usr/bin/env node
/** The agent as a program of its own, for the bundle: one file that runs with Node alone. */
import { packageVersion } from '../../network/version.ts';
import { collectAlone } from '../boot/memory.ts';
import { exitStatusOf } from '../exit-status.ts';
import { runAgent } from './run.ts';

collectAlone();
process.stderr.on('error', () => {});
const program = {
  version: packageVersion,
  clusterLibrary: new URL('hawser-agent-kubernetes.mjs', import.meta.url),
};
process.exit(await exitStatusOf(() => runAgent(process.argv.slice(2), program), 'hawser-agent'));
