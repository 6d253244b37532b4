/** Runs one benchmark.js suite and prints a line a case: the median and its margin. */
import Benchmark from 'benchmark';

export type Cases = Readonly<Record<string, () => void>>;

/** @param bytesPerRun what one run of each case moves, for a figure in GB/s; absent: none */
export function runSuite(title: string, cases: Cases, bytesPerRun?: number): void {
  const suite = new Benchmark.Suite(title);
  for (const [name, run] of Object.entries(cases)) suite.add(name, run);
  process.stdout.write(`${title}\n`);
  suite.on('cycle', (event: Benchmark.Event) => {
    const { target } = event;
    if (!(target instanceof Benchmark)) return;
    const { name = '', hz, stats } = target;
    const ns = (1e9 / hz).toFixed(1).padStart(10);
    const margin = stats.rme.toFixed(1);
    const rate = bytesPerRun === undefined ? '' : `  ${((hz * bytesPerRun) / 1e9).toFixed(1)} GB/s`;
    process.stdout.write(`  ${name.padEnd(32)}${ns} ns  ±${margin}%${rate}\n`);
  });
  suite.run();
}
