/**
 * Room for descriptors, before they are needed. The kernel's table of them grows by doubling, and each time the thread that
 * opens one too many waits for an RCU grace period: 8 to 16 ms on an idle machine, seconds where every CPU is
 * busy. It never shrinks, and costs 8 bytes of kernel memory for each.
 *
 * The table is of the process: one call runs at a time, for all that ask meanwhile, and none where there is room already.
 */
import { F_DUPFD_CLOEXEC } from './constants.ts';
import type { Libc } from './libc.ts';

const STDERR = 2;

export class DescriptorRoom {
  private readonly c: Pick<Libc, 'fcntlElsewhere' | 'close'>;
  /** The most that was asked for, and what there is room for. */
  private wanted = 0;
  private reserved = 0;
  private isRunning = false;

  constructor(c: Pick<Libc, 'fcntlElsewhere' | 'close'>) {
    this.c = c;
  }

  /** See `Posix.reserveDescriptors`. */
  reserve(count: number): void {
    this.wanted = Math.max(this.wanted, count);
    if (!this.isRunning) this.start();
  }

  private start(): void {
    const { c, wanted } = this;
    if (wanted <= this.reserved) return;
    this.isRunning = true;
    c.fcntlElsewhere(STDERR, F_DUPFD_CLOEXEC, wanted - 1, (fd) => {
      this.isRunning = false;
      const isMore = this.wanted > wanted;
      if (fd >= 0) {
        c.close(fd);
        this.reserved = wanted;
      } else if (!isMore) {
        this.wanted = this.reserved; // the limit is lower: the table grows as it is used
      }
      if (isMore) this.start();
    });
  }
}
