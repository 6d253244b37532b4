/**
 * Time and allocation of many passes. What is allocated is the growth of the heap while no garbage
 * collection ran, which the caller makes room for (`--expose-gc --max-semi-space-size`): a window in
 * which one ran does not count, and is tried again with fewer passes.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';

const WARM_UP_MS = 1000;
const MEASURE_MS = 1500;
const CLEAN_WINDOWS = 3;

export interface Measured {
  readonly passesPerSecond: number;
  /** On V8's heap and in buffers outside of it. */
  readonly bytesPerPass: number;
}

const allocated = (): number => {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

function passesFor(ms: number, pass: () => void): number {
  const end = performance.now() + ms;
  let passes = 0;
  for (; performance.now() < end; passes++) pass();
  return passes;
}

/** Passes, and what they allocated; undefined when garbage was collected meanwhile. */
async function allocation(passes: number, pass: () => void): Promise<number | undefined> {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  globalThis.gc?.();
  await turn(); // what was collected so far is not reported to this observer
  observer.observe({ entryTypes: ['gc'] });
  const before = allocated();
  for (let i = 0; i < passes; i++) pass();
  const after = allocated();
  await turn();
  await turn();
  observer.disconnect();
  return collections === 0 ? after - before : undefined;
}

export async function measure(pass: () => void): Promise<Measured> {
  if (globalThis.gc === undefined) throw new Error('start it with --expose-gc');
  passesFor(WARM_UP_MS, pass);
  const from = performance.now();
  const passes = passesFor(MEASURE_MS, pass);
  const passesPerSecond = (passes * 1000) / (performance.now() - from);
  const clean: number[] = [];
  for (let window = passes; clean.length < CLEAN_WINDOWS; ) {
    const bytes = await allocation(window, pass);
    if (bytes !== undefined) clean.push(bytes / window);
    else if (window > 1) window >>= 1;
    else
      throw new Error('garbage is collected within a single pass: give more --max-semi-space-size');
  }
  clean.sort((a, b) => a - b);
  return { passesPerSecond, bytesPerPass: clean[CLEAN_WINDOWS >> 1] ?? 0 };
}
