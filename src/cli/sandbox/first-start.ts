/**
 * The first of the two starts of a sandboxed `hawser run`: opens what only now may be opened, gives up what the daemon
 * does not need, and starts the program again in the same process. Rights are a thread's own, and threads of V8 and libuv
 * run before the first line of a program does, so that only what the second start inherits holds for all of them.
 *
 * Order: TAPs, directories and Landlock's rules need rights; then go the bounding set, the user, capabilities, the way to new
 * privileges, files and system calls, each of which needs the later ones still open.
 */
import { accessSync, chownSync, constants } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MadeDirectories } from '../../native/made-directories.ts';
import { makeDirectory } from '../../native/make-directory.ts';
import type { OpenedTap } from '../../native/opened-taps.ts';
import { dropBoundingSet, dropCapabilities } from '../../native/sandbox/capabilities.ts';
import { Kernel } from '../../native/sandbox/kernel.ts';
import { landlockVersion, makeRuleset, restrictFiles } from '../../native/sandbox/landlock.ts';
import { ownFiles } from '../../native/sandbox/own-files.ts';
import { dieOfSignals, keepOpen, restart } from '../../native/sandbox/restart.ts';
import { filterSystemCalls, forbidNewPrivileges } from '../../native/sandbox/seccomp.ts';
import { START_POLICY } from '../../native/sandbox/syscall-policy.ts';
import { becomeUser, findUser, type User } from '../../native/sandbox/user.ts';
import { messageOf, RunError, UsageError } from '../../network/errors.ts';
import { distFile } from '../../network/own-files.ts';
import { descriptorsOf, parseLinkSpec } from '../../transports/link-spec.ts';
import { memoryArgs, withAllocator } from '../boot/memory.ts';
import type { DaemonConfig } from '../daemon-config.ts';
import { END_SIGNALS } from '../early-signals.ts';
import { type GivenWords, given, SANDBOX_OFF } from '../given-words.ts';
import { makeSocketDirectories } from '../socket-paths.ts';
import { giveHandOver, type HandOver } from './hand-over.ts';
import { inheritedDescriptors, listenDescriptors } from './inherited-descriptors.ts';
import { PartList } from './part-list.ts';
import { configuredFiles, writtenDirectories } from './places.ts';

export type FirstStart = Pick<HandOver, 'options' | 'commandLine' | 'config' | 'dialect'>;

/** What is needed beside that which the options name. */
export interface Kept {
  /** Of the launcher's. */
  readonly descriptors?: readonly number[] | undefined;
  /** To be read. */
  readonly files?: readonly string[] | undefined;
}

/**
 * @returns only when there is no second start: what holds then
 * @throws UsageError, RunError, PosixError
 */
export async function startAgain(start: FirstStart, kept: Kept = {}): Promise<PartList> {
  const { options } = start;
  const parts = new PartList(options.sandbox === 'strict');
  const kernel = openKernel(parts);
  if (kernel === undefined) return parts;
  const user = options.user === undefined ? undefined : userNamed(options.user);
  const taps = await tapsOf(options);
  const made = makeDirectories(options, user);
  process.once('exit', () => made.remove());
  const { [CERTIFICATES]: certificates, ...environment } = process.env;
  const authorities = asksOverTls(options) ? certificates : undefined;
  const read = [start.config, authorities, ...(kept.files ?? [])];
  restrict(kernel, start, read, user, made.list, parts);
  const { readyFd } = options;
  const named = [
    ...listenDescriptors(process.env, process.pid),
    ...(readyFd === undefined ? [] : [readyFd]),
    ...taps.map(({ tap }) => tap.fd),
    ...(kept.descriptors ?? []),
    ...options.listen.flatMap((text) => descriptorsOf(parseLinkSpec(text))),
  ];
  for (const fd of inheritedDescriptors(named)) keepOpen(kernel, fd);
  await hearSignals(kernel);
  if (options.sandbox !== 'off') filterCalls(kernel, parts);
  const handOver = { ...start, taps, made: made.list, parts: parts.states };
  const withAuthorities =
    authorities === undefined ? environment : { ...environment, [CERTIFICATES]: authorities };
  const env = giveHandOver(kernel, handOver, withAuthorities);
  throw restart(kernel, withAllocator(env), memoryArgs(process.execArgv, env));
}

/**
 * One that came since the start would be lost with it: Node keeps it until the loop polls, for certain in the second turn.
 * One that comes later ends the process at once, as one does while Node itself starts. Before system calls are filtered: the
 * libuv of some Nodes polls by an io_uring that it has made, and aborts without it.
 */
async function hearSignals(kernel: Kernel): Promise<void> {
  dieOfSignals(
    kernel,
    END_SIGNALS.map((name) => osConstants.signals[name]),
  );
  await nextTurn();
  await nextTurn();
}

/** Node parses the file at its start, which takes longer than the rest of that. */
const CERTIFICATES = 'NODE_EXTRA_CA_CERTS';

const asksOverTls = ({ dns: { upstreams = [], domains } }: DaemonConfig): boolean =>
  [...upstreams, ...domains.map(({ upstream }) => upstream)].some(
    ({ tlsName }) => tlsName !== undefined,
  );

async function tapsOf(options: DaemonConfig): Promise<readonly OpenedTap[]> {
  if (!options.listen.some((link) => link.startsWith('tap:'))) return [];
  const { openTaps } = await import('../tap/open-taps.ts');
  return openTaps(options);
}

function openKernel(parts: PartList): Kernel | undefined {
  try {
    return new Kernel();
  } catch (error) {
    parts.fail('system-calls', messageOf(error));
    return undefined;
  }
}

/** @throws UsageError when there is none, RunError when nobody can tell */
export function userNamed(name: string): User {
  let user: User | undefined;
  try {
    user = findUser(new Kernel().libc, name);
  } catch (error) {
    throw new RunError(`--user ${name}: ${messageOf(error)}`, { cause: error });
  }
  if (user !== undefined) return user;
  throw new UsageError([`--user ${name}: must be a user of this system, by name or number`]);
}

/** Those of sockets, and of the leases, which stays. */
function makeDirectories(options: DaemonConfig, user: User | undefined): MadeDirectories {
  const made = new MadeDirectories();
  const own = (directory: string): void => {
    if (user !== undefined) chownSync(directory, user.uid, user.gid);
  };
  makeSocketDirectories(options, (path) => made.makeFor(path));
  for (const directory of made.list) own(directory);
  const { file } = options.leases;
  if (file === undefined) return made;
  try {
    if (makeDirectory(dirname(file)) !== undefined) own(dirname(file));
  } catch {
    // The second start explains it.
  }
  return made;
}

/** All but system calls. From here on there is no return: what fails ends the start. */
function restrict(
  kernel: Kernel,
  { options }: FirstStart,
  read: readonly (string | undefined)[],
  user: User | undefined,
  made: readonly string[],
  parts: PartList,
): void {
  const isOn = options.sandbox !== 'off';
  const version = landlockVersion(kernel);
  let ruleset: number | undefined;
  if (isOn && version > 0) {
    const program = fileURLToPath(distFile('..'));
    const grants = [...ownFiles(program, process.env), ...configuredFiles(options, read, made)];
    ruleset = makeRuleset(kernel, version, grants);
  }
  const writable = writtenDirectories(options).filter(isWritable);
  dropBoundingSet(kernel);
  if (user !== undefined) {
    try {
      becomeUser(kernel, user);
    } catch (error) {
      throw new RunError(`--user ${user.name}: ${messageOf(error)}; this needs root`);
    }
    parts.attempt('user', () => `${user.name} (${user.uid}), group ${user.gid}`);
  }
  parts.attempt('capabilities', () =>
    dropCapabilities(kernel) === 0n ? 'none' : 'CAP_NET_BIND_SERVICE alone',
  );
  checkWritable(writable, user, options.words);
  parts.attempt('no-new-privileges', () => {
    forbidNewPrivileges(kernel);
    return 'set';
  });
  if (!isOn) return;
  if (ruleset === undefined) {
    parts.fail('files', 'this kernel has no Landlock, or it is not in the list of its `lsm=`');
  } else {
    const fd = ruleset;
    parts.attempt('files', () => {
      restrictFiles(kernel, fd);
      return `Landlock, version ${version}`;
    });
  }
}

/** The last: from here to the second start the loop may not turn. */
function filterCalls(kernel: Kernel, parts: PartList): void {
  parts.attempt('system-calls', () => {
    filterSystemCalls(kernel, START_POLICY, 'this');
    return 'those of a start';
  });
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false; // the attempt to use it explains it
  }
}

/** Root writes everywhere by a capability that it has given up now. */
function checkWritable(
  before: readonly string[],
  user: User | undefined,
  words: GivenWords | undefined,
): void {
  const lost = before.find((directory) => !isWritable(directory));
  if (lost === undefined) return;
  const who = user === undefined ? 'root without its capabilities' : `user ${user.name}`;
  const own = words === undefined;
  const otherwise = own
    ? ', the user that it belongs to (--user), or --sandbox off'
    : leaveOut(words);
  throw new RunError(`${lost}: ${who} may not write there: choose another directory${otherwise}`);
}

function leaveOut(words: GivenWords): string {
  const advice = given(words, { key: SANDBOX_OFF });
  return advice === undefined ? '' : `, or ${advice}`;
}
