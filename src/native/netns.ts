import { CLONE_NEWNET, O_CLOEXEC } from './constants.ts';
import { PosixError } from './errors.ts';
import type { Libc } from './libc.ts';

/** Run `run` with this thread in the network namespace `netns`; see `Posix.inNetns`. */
export function inNetns<T>(c: Libc, netns: string, run: () => T): T {
  const path = netns.includes('/') ? netns : `/run/netns/${netns}`;
  const home = openNetns(c, '/proc/thread-self/ns/net');
  try {
    const there = openNetns(c, path);
    // Who may not enter where they are could not come back: the root of a user namespace whose network is another's.
    const mayReturn = c.setns(home, CLONE_NEWNET) >= 0;
    const entered = mayReturn ? c.setns(there, CLONE_NEWNET) : -1;
    const errno = c.errno();
    c.close(there);
    if (entered < 0) throw notEntered(path, errno);
    try {
      return run();
    } finally {
      // In the wrong namespace every later connection would fail or reach the wrong host.
      if (c.setns(home, CLONE_NEWNET) < 0) process.abort();
    }
  } finally {
    c.close(home);
  }
}

const notEntered = (path: string, errno: number): PosixError =>
  new PosixError(
    `cannot enter network namespace ${path}`,
    errno,
    'it needs CAP_SYS_ADMIN over that namespace and the current one',
  );

function openNetns(c: Libc, path: string): number {
  const fd = c.open(path, O_CLOEXEC);
  if (fd < 0) throw new PosixError(`cannot open network namespace ${path}`, c.errno());
  return fd;
}
