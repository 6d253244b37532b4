/**
 * The heap of a daemon that has had a rush becomes small again. V8 collects what is dead when the heap grows further, and
 * a daemon that is quiet after a rush does not grow: some 100 MB of garbage would stay resident for minutes. While the
 * event loop is quiet and the heap is larger than at readiness, it is collected: again soon when that gave much back, for
 * flows end one by one, and ever later when it did not, for then it is in use.
 */
import { performance } from 'node:perf_hooks';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { once } from '../base/once.ts';
import { loadedPosix } from '../native/load.ts';

const TICK_MS = 5_000;
const MOST_TICKS = 120;
/** Of the event loop: a collection stops it for tens of milliseconds, which nobody notices who asks for so little. */
const QUIET = 0.25;
const WORTH = 16 << 20;

export interface Heap {
  /** Bytes that the heap has of the system. */
  size(): number;
  /** Share of the time since the last call that the event loop was busy, 0 to 1. */
  busy(): number;
  collect(): Promise<void>;
}

export class HeapReturn {
  private readonly heap: Heap;
  private readonly idleSize: number;
  private readonly timer: NodeJS.Timeout;
  private size: number;
  private wait = 1;
  private waited = 0;
  private isCollecting = false;

  constructor(heap: Heap = PROCESS_HEAP, tickMs: number = TICK_MS) {
    this.heap = heap;
    this.idleSize = this.size = heap.size();
    this.timer = setInterval(() => void this.tick(), tickMs).unref();
  }

  close(): void {
    clearInterval(this.timer);
  }

  private async tick(): Promise<void> {
    const isQuiet = this.heap.busy() < QUIET;
    const size = this.heap.size();
    if (size > this.size + WORTH) this.wait = 1;
    this.size = Math.min(this.size, size);
    if (++this.waited < this.wait || !isQuiet || size < this.idleSize + WORTH) return;
    if (this.isCollecting) return;
    this.isCollecting = true;
    await this.heap.collect();
    this.isCollecting = false;
    this.size = this.heap.size();
    this.waited = 0;
    this.wait = size - this.size >= WORTH ? 1 : Math.min(this.wait * 2, MOST_TICKS);
  }
}

type Collect = (
  how: Readonly<{ type: 'major'; execution: 'async'; flavor: 'last-resort' }>,
) => Promise<void>;

const collector = once((): Collect => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
});

let last = performance.eventLoopUtilization();

/** Of this process. */
export const PROCESS_HEAP: Heap = {
  size: () => getHeapStatistics().total_heap_size,
  busy: () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  },
  collect: async () => {
    await collector()({ type: 'major', execution: 'async', flavor: 'last-resort' });
    loadedPosix()?.trimAllocator();
  },
};
