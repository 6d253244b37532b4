/**
 * Files named by options that are opened later, or only occasionally: a wrong path is reported at the start, not
 * when leases are lost or names unknown.
 */
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { NetworkConfig } from '../network/config.ts';
import { messageOf, UsageError } from '../network/errors.ts';
import { draftPath } from '../proxy/replace-file.ts';
import { flagOf } from './option-table.ts';

/** @throws UsageError with a line for each */
export function checkFiles({ dns, leases }: Pick<NetworkConfig, 'dns' | 'leases'>): void {
  const problems = [
    ...problemOf('hosts', dns.hostsFile, 'cannot be read', checkReadable),
    ...problemOf('leaseFile', leases.file, 'cannot be written', checkReplaceable),
  ];
  if (problems.length > 0) throw new UsageError(problems);
}

function problemOf(
  key: string,
  path: string | undefined,
  problem: string,
  check: (path: string) => void,
): string[] {
  if (path === undefined) return [];
  try {
    check(path);
    return [];
  } catch (error) {
    return [`${flagOf(key)} ${path}: ${problem}: ${messageOf(error)}`];
  }
}

function checkReadable(path: string): void {
  accessSync(path, constants.R_OK);
  if (statSync(path).isDirectory()) throw new Error('it is a directory');
}

/** It is replaced by a new file beside it, so that one must be possible. */
function checkReplaceable(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new Error('it is a directory');
  }
  mkdirSync(dirname(path), { recursive: true });
  const probe = draftPath(path);
  writeFileSync(probe, '', { flag: 'wx', mode: 0o600 });
  rmSync(probe);
}
