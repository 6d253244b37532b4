/**
 * Files named by options that are opened later, or only occasionally: a wrong path is reported at the start, not
 * when leases are lost or names unknown.
 */
import { accessSync, constants, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '../native/make-directory.ts';
import { isNullDevice, requireRegular } from '../native/read-small-file.ts';
import { draftPath } from '../proxy/replace-file.ts';
import type { NetworkConfig } from './config.ts';
import { messageOf } from './errors.ts';

export interface FileProblem {
  /** Of the option. */
  readonly key: string;
  readonly path: string;
  /** As the end of a sentence that begins with the path. */
  readonly why: string;
}

type FilesConfig = Pick<NetworkConfig, 'dns' | 'leases' | 'upstreamProxy'>;

/** Makes the directory of leases, which are written later. */
export function fileProblems({ dns, leases, upstreamProxy }: FilesConfig): readonly FileProblem[] {
  return [
    ...problemOf('hosts', dns.hostsFile, 'cannot be read', checkFollowed),
    ...problemOf('resolvConf', dns.resolvConf, 'cannot be read', checkFollowed),
    ...problemOf('proxyAuthFile', upstreamProxy.authFile, 'cannot be read', checkReadable),
    ...problemOf('leaseFile', leases.file, 'cannot be written', checkReplaceable),
  ];
}

function problemOf(
  key: string,
  path: string | undefined,
  problem: string,
  check: (path: string) => void,
): readonly FileProblem[] {
  if (path === undefined) return [];
  try {
    check(path);
    return [];
  } catch (error) {
    return [{ key, path, why: `${problem}: ${messageOf(error)}` }];
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
