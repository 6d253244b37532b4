/** What tests ask guests to do. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { seededSha256 } from '../../../src/lab/seeded-stream.ts';
import type { Namespace } from './lab.ts';

const CLIENT = fileURLToPath(new URL('./client-main.js', import.meta.url));
const COMMANDS = fileURLToPath(
  new URL('../../../src/lab/guest/guest-commands.js', import.meta.url),
);
const SEED = 11;

/** Run a command of `client-main.ts`. @returns what it prints */
export async function client(from: Namespace, ...args: string[]): Promise<unknown> {
  return JSON.parse(await from.run(process.execPath, CLIENT, ...args));
}

export const agentArgv = (...args: string[]): readonly string[] => [
  process.execPath,
  COMMANDS,
  ...args,
];

/** The last line that the agent prints, checked against the seed. */
function checkTransfer(printed: string, sizeBytes: number): void {
  const { bytes, sha256 } = doneOf(printed);
  assert.equal(bytes, sizeBytes);
  assert.equal(sha256, seededSha256(SEED, sizeBytes));
}

function doneOf(printed: string): { bytes?: unknown; sha256?: unknown } {
  const last: unknown = JSON.parse(printed.trimEnd().split('\n').at(-1) ?? '');
  assert.ok(typeof last === 'object' && last !== null && 'done' in last, printed.slice(-300));
  const { done } = last;
  assert.ok(typeof done === 'object' && done !== null);
  return done;
}

/** Fetch so many bytes from a file server and compare the sum. */
export async function download(from: Namespace, server: string, sizeBytes: number): Promise<void> {
  checkTransfer(
    await from.run(...agentArgv('download', `${server}/bytes/${sizeBytes}?seed=${SEED}`)),
    sizeBytes,
  );
}

/** Send so many bytes to a file server; it sums them. */
export async function upload(from: Namespace, server: string, sizeBytes: number): Promise<void> {
  const args = ['upload', `${server}/sink`, String(SEED), String(sizeBytes)];
  checkTransfer(await from.run(...agentArgv(...args)), sizeBytes);
}
