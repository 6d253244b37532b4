/**
 * Landlock (landlock(7)): which files the process may open, by the directories that they are in, whatever their
 * permission bits. What the kernel's version of it does not know stays allowed. Rights are bound to directories, not to
 * names: a file that is replaced in one stays reachable, a directory that is replaced does not.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { CALLS } from './calls.ts';
import { type Kernel, memory } from './kernel.ts';

/**
 * To a directory and all below, or to a file: `read`; `run` as well; `write`: make, change and remove regular files, sockets and
 * directories; `device`: read, write and steer a device; `remove-directories`: empty ones, nothing else.
 */
export type FileAccess = 'read' | 'run' | 'write' | 'device' | 'remove-directories';

export interface FileGrant {
  readonly path: string;
  readonly access: FileAccess;
}

const RIGHTS = {
  execute: 1n << 0n,
  writeFile: 1n << 1n,
  readFile: 1n << 2n,
  readDirectory: 1n << 3n,
  removeDirectory: 1n << 4n,
  removeFile: 1n << 5n,
  makeCharacterDevice: 1n << 6n,
  makeDirectory: 1n << 7n,
  makeFile: 1n << 8n,
  makeSocket: 1n << 9n,
  makeFifo: 1n << 10n,
  makeBlockDevice: 1n << 11n,
  makeLink: 1n << 12n,
  moveBetween: 1n << 13n,
  truncate: 1n << 14n,
  steerDevice: 1n << 15n,
} as const;

const READ = RIGHTS.readFile | RIGHTS.readDirectory;
const ACCESS: Readonly<Record<FileAccess, bigint>> = {
  read: READ,
  run: READ | RIGHTS.execute,
  write:
    READ |
    RIGHTS.writeFile |
    RIGHTS.removeDirectory |
    RIGHTS.removeFile |
    RIGHTS.makeDirectory |
    RIGHTS.makeFile |
    RIGHTS.makeSocket |
    RIGHTS.moveBetween |
    RIGHTS.truncate,
  device: RIGHTS.readFile | RIGHTS.writeFile | RIGHTS.steerDevice,
  'remove-directories': RIGHTS.removeDirectory,
};
const OF_FILES =
  RIGHTS.execute | RIGHTS.writeFile | RIGHTS.readFile | RIGHTS.truncate | RIGHTS.steerDevice;

/** How many of the rights, from the first, each version knows. */
const KNOWN_RIGHTS = [0, 13, 14, 15, 15, 16];
/** Connections to abstract sockets, and signals, of processes outside. */
const SCOPES_SINCE = 6;
const SCOPES = 0b11n;

const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;
const O_PATH = 0o10000000;

/** @returns 0 where the kernel has none, or is told to use none */
export const landlockVersion = (kernel: Kernel): number =>
  Math.max(0, kernel.try(CALLS.landlock_create_ruleset, 0, 0, CREATE_RULESET_VERSION));

export function handledRights(version: number): bigint {
  const known = KNOWN_RIGHTS[Math.min(version, KNOWN_RIGHTS.length - 1)] ?? 0;
  return (1n << BigInt(known)) - 1n;
}

/**
 * Make the rules, while everything can still be opened. What is not there is left out.
 *
 * @returns a descriptor for {@link restrictFiles}
 * @throws PosixError
 */
export function makeRuleset(kernel: Kernel, version: number, grants: readonly FileGrant[]): number {
  const attributes = memory(24);
  const handled = handledRights(version);
  attributes.setBigUint64(0, handled, true);
  const scoped = version >= SCOPES_SINCE;
  attributes.setBigUint64(16, scoped ? SCOPES : 0n, true);
  const ruleset = kernel.call(
    'make a Landlock ruleset',
    CALLS.landlock_create_ruleset,
    kernel.address(attributes),
    scoped ? 24 : 8,
    0,
  );
  for (const { path, access } of grants) addRule(kernel, ruleset, path, ACCESS[access] & handled);
  return ruleset;
}

function addRule(kernel: Kernel, ruleset: number, path: string, rights: bigint): void {
  let fd: number;
  try {
    fd = openSync(path, O_PATH | constants.O_DIRECTORY);
  } catch {
    try {
      fd = openSync(path, O_PATH);
    } catch {
      return;
    }
  }
  try {
    const allowed = fstatSync(fd).isDirectory() ? rights : rights & OF_FILES;
    if (allowed === 0n) return;
    const rule = memory(12);
    rule.setBigUint64(0, allowed, true);
    rule.setInt32(8, fd, true);
    kernel.call(
      `allow ${path}`,
      CALLS.landlock_add_rule,
      ruleset,
      RULE_PATH_BENEATH,
      kernel.address(rule),
      0,
    );
  } finally {
    closeSync(fd);
  }
}

/** For good. It needs `no_new_privs`. */
export function restrictFiles(kernel: Kernel, ruleset: number): void {
  kernel.call('restrict files by Landlock', CALLS.landlock_restrict_self, ruleset, 0);
  closeSync(ruleset);
}
