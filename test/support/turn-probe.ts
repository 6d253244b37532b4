/**
 * Loaded into a program under test (`node --import`): the longest turn of its event loop, as CPU time of the loop's own
 * thread, so that other programs on the machine do not count and garbage collection does.
 *
 * A timer of 1 ms reads the thread's clock. Between two of its calls the loop has made at least one turn, so that their
 * difference is an upper bound of the longest one. SIGWINCH writes the figures to `HAWSER_TURN_PROBE` and starts over.
 */
import { renameSync, writeFileSync } from 'node:fs';
import koffi from 'koffi';

const CLOCK_THREAD_CPUTIME_ID = 3;

const clockGettime = koffi.load(null).func('int clock_gettime(int, void *)');
const time = new BigInt64Array(2);
const cpuMs = (): number => {
  clockGettime(CLOCK_THREAD_CPUTIME_ID, time);
  return Number(time[0] ?? 0n) * 1e3 + Number(time[1] ?? 0n) / 1e6;
};

let before = cpuMs();
let since = before;
let turns: number[] = [];

const timer = setInterval(() => {
  const now = cpuMs();
  turns.push(now - before);
  before = now;
}, 1);
timer.unref();

process.on('SIGWINCH', () => {
  const path = process.env['HAWSER_TURN_PROBE'];
  const now = cpuMs();
  turns.push(now - before);
  turns.sort((a, b) => b - a);
  const figures = { cpuMs: now - since, longestMs: turns.slice(0, 8), ticks: turns.length };
  if (path !== undefined) {
    writeFileSync(`${path}.new`, JSON.stringify(figures));
    renameSync(`${path}.new`, path);
  }
  turns = [];
  since = now;
  before = cpuMs();
});
