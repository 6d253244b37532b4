#!/usr/bin/env node
/** The agent as a program of its own, for the bundle: one file that runs with Node alone. */
import { packageVersion } from '../../network/version.ts';
import { collectAlone } from '../boot/memory.ts';
import { runAgent } from './run.ts';

collectAlone();
process.stderr.on('error', () => {});
process.exit(
  await runAgent(process.argv.slice(2), {
    version: packageVersion,
    clusterLibrary: new URL('hawser-agent-kubernetes.mjs', import.meta.url),
  }),
);
