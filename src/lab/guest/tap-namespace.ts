/**
 * A named network namespace for a guest on a `tap:` link. The TAP is hawser's, made inside the
 * namespace when the network starts.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { NativeUnavailableError } from '../../native/errors.ts';
import { loadPosix } from '../../native/load.ts';
import { GuestUnavailableError } from './embedded-guest.ts';
import type { GuestNamespace } from './kernel-guest.ts';
import { requirePrograms } from './require-programs.ts';

const PREFIX = 'hawser-demo-';
const NETNS_DIR = '/run/netns';
const TUN = '/dev/net/tun';

/** @throws GuestUnavailableError without root, /dev/net/tun, iproute2 or koffi */
export function makeTapNamespace(ifName = 'eth0'): GuestNamespace {
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
  } catch {
    throw new GuestUnavailableError(`${TUN} cannot be opened`);
  }
  try {
    loadPosix('open a TAP for the guest');
  } catch (cause) {
    if (!(cause instanceof NativeUnavailableError)) throw cause;
    throw new GuestUnavailableError(cause.message, { cause });
  }
  requirePrograms('ip', 'nsenter');
  removeStale();
  const name = `${PREFIX}${process.pid}`;
  try {
    run('ip', 'netns', 'add', name);
    run('ip', '-n', name, 'link', 'set', 'lo', 'up');
  } catch (cause) {
    remove(name);
    const why = cause instanceof Error ? cause.message.trim().split('\n').at(-1) : String(cause);
    throw new GuestUnavailableError(`no network namespace can be made (${why})`, { cause });
  }
  return {
    kind: 'tap',
    about: `this machine's Linux kernel in network namespace ${name}, on a TAP`,
    link: `tap:${ifName}@${name}`,
    ifName,
    enter: (argv) => ['nsenter', `--net=${NETNS_DIR}/${name}`, '--', ...argv],
    remove: () => remove(name),
  };
}

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function remove(name: string): void {
  try {
    run('ip', 'netns', 'del', name);
  } catch {
    // Not there, or not ours to remove: nothing more can be done.
  }
}

/** Remove what a demo that was killed left behind. */
function removeStale(): void {
  if (!existsSync(NETNS_DIR)) return;
  for (const name of readdirSync(NETNS_DIR)) {
    const pid = new RegExp(`^${PREFIX}(\\d+)$`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) remove(name);
  }
}
