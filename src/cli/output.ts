/** What a command answers, on its standard output: whole, or an error. */
import { fstatSync, writeSync } from 'node:fs';
import { errorCode, RunError } from '../network/errors.ts';

const STDOUT = 1;

/**
 * A pipe, a socket or a terminal is left to Node, which waits for the reader, and takes one that has gone for an end. For the
 * others Node ignores what a nearly full disk has not taken.
 *
 * @throws RunError that says why it cannot be written
 */
export function printOutput(text: string): void {
  if (isFlowing()) {
    process.stdout.write(text);
    return;
  }
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(STDOUT, bytes, at);
  } catch (cause) {
    const why = errorCode(cause);
    throw new RunError(`cannot write to standard output: ${why}`, { cause });
  }
}

function isFlowing(): boolean {
  const stat = fstatSync(STDOUT);
  return process.stdout.isTTY === true || stat.isFIFO() || stat.isSocket();
}
