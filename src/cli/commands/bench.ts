/** `hawser bench`: the harness is beside the program, not in it, and is loaded only here. */
import { existsSync } from 'node:fs';
import { RunError } from '../../network/errors.ts';
import { distFile, importOwn } from '../../network/own-files.ts';

const HARNESS = distFile('bench/main.js');

/** As typed. */
export interface BenchCommandRequest {
  readonly quick: boolean;
  readonly list: boolean;
  readonly peers: string | undefined;
  readonly cases: string | undefined;
  readonly mtu: string | undefined;
  readonly duration: string | undefined;
  readonly repetitions: string | undefined;
  readonly out: string | undefined;
}

interface Harness {
  runBench(request: BenchCommandRequest): Promise<number>;
}

/** @returns the exit status */
export async function benchCommand(request: BenchCommandRequest): Promise<number> {
  if (!existsSync(HARNESS)) {
    throw new RunError(
      'the benchmark is not part of the package: run it from a checkout of the sources, by npm run bench',
    );
  }
  const harness = await importOwn(HARNESS);
  if (!isHarness(harness)) throw new RunError('dist/bench is of another version');
  return await harness.runBench(request);
}

const isHarness = (module: unknown): module is Harness =>
  typeof module === 'object' && module !== null && 'runBench' in module;
