#!/usr/bin/env node
/** The agent as a program of its own, for the bundle: one file that runs with Node alone. */
import { runAgent } from './run.ts';

/** Set by the bundler. */
declare const HAWSER_VERSION: string | undefined;

process.stderr.on('error', () => {});
const version = (): string => (typeof HAWSER_VERSION === 'string' ? HAWSER_VERSION : 'unbundled');
process.exit(await runAgent(process.argv.slice(2), version));
