/**
 * Files named by options that are opened later, or only occasionally: a wrong path is reported at the start, not
 * when leases are lost or names unknown.
 */
import { accessSync, constants, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '../native/make-directory.ts';
import { isNullDevice, requireRegular } from '../native/read-small-file.ts';
import { messageOf, UsageError } from '../network/errors.ts';
import { draftPath } from '../proxy/replace-file.ts';
import type { DaemonConfig } from './daemon-config.ts';
import { asGiven, type GivenWords } from './given-words.ts';

type FilesConfig = Pick<DaemonConfig, 'dns' | 'leases' | 'upstreamProxy' | 'words'>;

/** @throws UsageError with a line for each */
export function checkFiles({ dns, leases, upstreamProxy, words }: FilesConfig): void {
  const problems = [
    ...problemOf('hosts', dns.hostsFile, words, 'cannot be read', checkFollowed),
    ...problemOf('resolvConf', dns.resolvConf, words, 'cannot be read', checkFollowed),
    ...problemOf('proxyAuthFile', upstreamProxy.authFile, words, 'cannot be read', checkReadable),
    ...problemOf('leaseFile', leases.file, words, 'cannot be written', checkReplaceable),
  ];
  if (problems.length > 0) throw new UsageError(problems);
}

function problemOf(
  key: string,
  path: string | undefined,
  words: GivenWords | undefined,
  problem: string,
  check: (path: string) => void,
): string[] {
  if (path === undefined) return [];
  try {
    check(path);
    return [];
  } catch (error) {
    return [`${asGiven(words, { key, value: path })}: ${problem}: ${messageOf(error)}`];
  }
}

/** One that says nothing is wanted. */
function checkFollowed(path: string): void {
  if (!isNullDevice(statSync(path))) checkReadable(path);
}

function checkReadable(path: string): void {
  accessSync(path, constants.R_OK);
  requireRegular(path, statSync(path));
}

/** It is replaced by a new file beside it, so that one must be possible. */
function checkReplaceable(path: string): void {
  try {
    makeDirectory(dirname(path));
  } catch (cause) {
    throw new Error(`${messageOf(cause)}; make its directory, or choose another path`, { cause });
  }
  const found = statSync(path, { throwIfNoEntry: false });
  if (found !== undefined) requireRegular(path, found);
  const probe = draftPath(path);
  try {
    writeFileSync(probe, '', { flag: 'wx', mode: 0o600 });
  } finally {
    rmSync(probe, { force: true });
  }
}
