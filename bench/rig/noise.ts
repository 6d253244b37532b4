/** What others took of the CPUs while something was measured: other processes, and other machines of the same host. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSecondsOfAll, processTree, TICKS } from './proc.ts';

/** Percent of all CPUs that others may have in a sample that counts. */
export const QUIET_PCT = 12;
const LOOK_MS = 700;

export interface Noise {
  readonly foreignPct: number;
  /** Taken by the hypervisor. A third of the CPUs makes milliseconds of microseconds. */
  readonly stealPct: number;
}

/** Percent of all CPUs. */
export const disturbance = ({ foreignPct, stealPct }: Noise): number => foreignPct + stealPct;

interface Snapshot {
  readonly atS: number;
  readonly busyS: number;
  readonly stealS: number;
  readonly oursS: number;
}

function snapshot(): Snapshot {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (
    readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? ''
  )
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) / TICKS);
  return {
    atS: performance.now() / 1000,
    busyS: user + nice + system + irq + softirq,
    stealS: steal,
    oursS: cpuSecondsOfAll(processTree(process.pid)),
  };
}

/** Start listening; the returned function returns what was heard since. */
export function listenForNoise(): () => Noise {
  const before = snapshot();
  return () => {
    const after = snapshot();
    const cpuS = Math.max(after.atS - before.atS, 0.001) * availableParallelism();
    const foreignS = after.busyS - before.busyS - (after.oursS - before.oursS);
    return {
      foreignPct: Math.max(0, (100 * foreignS) / cpuS),
      stealPct: (100 * (after.stealS - before.stealS)) / cpuS,
    };
  };
}

/** Wait for a quiet machine, but not for ever. */
export async function quiet(patienceMs: number): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (performance.now() < deadline) {
    const noise = listenForNoise();
    await sleep(LOOK_MS);
    if (disturbance(noise()) <= QUIET_PCT) return;
  }
}
