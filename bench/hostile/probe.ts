/**
 * Loaded into the daemon by `NODE_OPTIONS=--import`: the longest turn of its event loop, in CPU time of its own
 * thread, collector included. A timer of 1 ms reads that clock: what passed between two reads is a turn or a little more, so
 * that the figure bounds the longest from above. Ten times a second one line goes to the descriptor `HAWSER_PROBE_FD`.
 */
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const FD = Number(process.env['HAWSER_PROBE_FD'] ?? '0');
const EVERY_MS = 100;

/** Of this thread, in milliseconds. Node has it from 22.15; before, libc is asked. */
function cpuClock(): () => number {
  if ('threadCpuUsage' in process && typeof process.threadCpuUsage === 'function') {
    const usage = process.threadCpuUsage;
    return () => {
      const { user, system } = usage();
      return (user + system) / 1000;
    };
  }
  const CLOCK_THREAD_CPUTIME_ID = 3;
  const koffi: typeof import('koffi') = createRequire(import.meta.url)('koffi');
  const gettime = koffi.load('libc.so.6').func('int clock_gettime(int, _Out_ int64_t *)');
  const out = new BigInt64Array(2);
  return () => {
    gettime(CLOCK_THREAD_CPUTIME_ID, out);
    return Number(out[0]) * 1000 + Number(out[1]) / 1e6;
  };
}

function probe(): void {
  const cpuMs = cpuClock();
  let last = cpuMs();
  let worst = 0;
  let long = 0;
  let since = performance.now();
  setInterval(() => {
    const at = cpuMs();
    const turn = at - last;
    last = at;
    if (turn > worst) worst = turn;
    if (turn > 20) long++;
    const now = performance.now();
    if (now - since < EVERY_MS) return;
    since = now;
    try {
      writeSync(FD, `${worst.toFixed(2)} ${long} ${at.toFixed(0)}\n`);
    } catch {
      // nobody reads, or reads late: the next line has the sum
      return;
    }
    worst = 0;
    long = 0;
  }, 1).unref();
}

if (FD > 2 && isMainThread) probe();
