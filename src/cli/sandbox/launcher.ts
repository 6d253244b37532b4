/**
 * A launcher or unit that has given up everything itself, before Node started, so that every thread has inherited it and
 * no second start is needed: it says so by a variable of the environment, and is believed as far as the kernel shows it.
 * Files are its own affair (Landlock, a mount namespace): the kernel does not show them.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { hasNoCapabilities } from '../../native/sandbox/capabilities.ts';
import type { PartState } from '../../native/sandbox/parts.ts';
import { threadStatuses } from '../../native/sandbox/thread-status.ts';

const VARIABLE = 'HAWSER_SANDBOX_INHERITED';

/** @returns what it has given up; undefined when that is not so */
export function partsOfLauncher(env: NodeJS.ProcessEnv): PartState[] | undefined {
  if (env[VARIABLE] !== '1' || process.platform !== 'linux' || hasIoUring()) return undefined;
  const given = threadStatuses().every(
    (thread) => thread.noNewPrivileges && hasNoCapabilities(thread),
  );
  if (!given) return undefined;
  const detail = 'by the launcher';
  return (['capabilities', 'no-new-privileges', 'files'] as const).map((part) => ({
    part,
    holds: true,
    detail,
  }));
}

/**
 * The event loop's own, which the service filter would break. libuv from 1.50 on makes one wherever it can, with
 * UV_USE_IO_URING=0 too: only a launcher that refuses the system call keeps Node from it.
 */
const hasIoUring = (): boolean =>
  readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[io_uring]';
    } catch {
      return false; // that of the listing itself
    }
  });
