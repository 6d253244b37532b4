/**
 * Memory that is not needed any more goes back to the system: after a crowd of connections has ended, the process is as
 * small as before. Every ten seconds pools give the arena what they kept without need, and pages that lay unused for one
 * such time are discarded, in parts, so that no turn of the event loop takes long. Without native calls they stay.
 */
import { ageFree, discardStale } from '../base/arena.ts';
import { trimPools } from '../base/buffer-pool.ts';
import { loadedPosix } from '../native/load.ts';

const TRIM_MS = 10_000;
const PART_MS = 50;
const PART = 16 << 20; // 3 ms of the kernel's time

export class MemoryReturn {
  private readonly timer: NodeJS.Timeout;
  private partTimer: NodeJS.Timeout | undefined = undefined;

  constructor(trimMs: number = TRIM_MS) {
    this.timer = setInterval(() => this.trim(), trimMs).unref();
  }

  close(): void {
    clearInterval(this.timer);
    clearTimeout(this.partTimer);
  }

  private trim(): void {
    if (this.partTimer !== undefined) return;
    trimPools();
    this.discardPart();
  }

  private discardPart(): void {
    this.partTimer = undefined;
    const posix = loadedPosix();
    if (posix === undefined) return;
    if (discardStale(PART, (bytes) => posix.discard(bytes)) < PART) ageFree();
    else this.partTimer = setTimeout(() => this.discardPart(), PART_MS).unref();
  }
}
