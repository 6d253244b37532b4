import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Heap, HeapReturn, PROCESS_HEAP } from '../../src/cli/heap-return.ts';
import { until } from '../proxy/dns/lab.ts';

const MB = 1 << 20;
const TICK_MS = 2;
const IDLE = 40 * MB;

/** What of it is garbage is given back by a collection. */
class TestHeap implements Heap {
  live = IDLE;
  garbage = 0;
  load = 0;
  collections = 0;

  size(): number {
    return this.live + this.garbage;
  }

  busy(): number {
    return this.load;
  }

  async collect(): Promise<void> {
    this.collections++;
    await sleep(1);
    this.garbage = 0;
  }
}

describe('cli/heap-return', () => {
  let heap: TestHeap;
  let back: HeapReturn;

  beforeEach(() => {
    heap = new TestHeap();
    back = new HeapReturn(heap, TICK_MS);
  });
  afterEach(() => back.close());

  it('a heap that is not much larger than at readiness is left alone', async () => {
    heap.garbage = 15 * MB;
    await sleep(TICK_MS * 10);
    assert.equal(heap.collections, 0);
  });

  it('is collected when the rush is over, and not before', async () => {
    heap.load = 0.5;
    heap.garbage = 100 * MB;
    await sleep(TICK_MS * 10);
    assert.equal(heap.collections, 0);
    heap.load = 0.1;
    await until(() => heap.size() === IDLE);
    await sleep(TICK_MS * 10);
    assert.equal(heap.collections, 1);
  });

  it('is collected again while that gives back, and ever more seldom when it does not', async () => {
    heap.live = 200 * MB;
    heap.garbage = 100 * MB;
    await until(() => heap.collections === 1);
    await sleep(TICK_MS * 60);
    const inUse = heap.collections;
    assert.ok(inUse >= 2 && inUse <= 7, `${inUse}`); // after 1, 2, 4, 8, 16, 32 ticks
    heap.garbage = 100 * MB; // another rush
    await until(() => heap.garbage === 0);
    assert.ok(heap.collections <= inUse + 2, `${heap.collections}`);
  });

  it('a thread that works is busy', () => {
    PROCESS_HEAP.busy();
    const begun = performance.now();
    while (performance.now() - begun < 50);
    assert.ok(PROCESS_HEAP.busy() > 0.5);
  });

  it('a heap of this process is measured and collected', async () => {
    const own = new HeapReturn({ ...PROCESS_HEAP, busy: () => 0 }, 5); // a loaded machine is never quiet
    let kept: unknown[] = Array.from({ length: 600_000 }, (_, i) => ({ i, text: `${i}` }));
    const large = process.memoryUsage().heapTotal;
    assert.ok(kept.length > 0);
    kept = [];
    await until(() => process.memoryUsage().heapTotal < large - 16 * MB);
    own.close();
  });
});
