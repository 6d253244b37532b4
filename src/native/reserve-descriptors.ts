/**
 * Room for descriptors, before they are needed. The kernel's table of them grows by doubling, and each time the thread that
 * opens one too many waits for an RCU grace period: 8 to 16 ms on an idle machine, seconds where every CPU is
 * busy. It never shrinks, and costs 8 bytes of kernel memory for each.
 */
import { F_DUPFD_CLOEXEC } from './constants.ts';
import type { Libc } from './libc.ts';

const STDERR = 2;

/** See `Posix.reserveDescriptors`. */
export function reserveDescriptors(c: Libc, count: number): void {
  c.fcntlElsewhere(STDERR, F_DUPFD_CLOEXEC, count - 1, (fd) => {
    if (fd >= 0) c.close(fd); // otherwise the limit is lower: the table grows as it is used
  });
}
