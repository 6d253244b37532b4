/**
 * The attacks of `bench/hostile` for minutes each, beside a good guest, one after the other on the same daemon: what the short
 * ones leave behind unseen adds up here.
 */
import { ATTACKS } from '../../bench/hostile/attacks.ts';
import { measureBaseline, strike, waitUntilBack } from '../../bench/hostile/measure.ts';
import { goFirst } from '../../bench/hostile/priority.ts';
import { Scene } from '../../bench/hostile/scene.ts';
import { backFailures, strikeFailures } from '../../bench/hostile/verdict.ts';
import { Lab } from '../../bench/rig/lab.ts';

const BASE_MS = 20_000;
const CLEAR_MS = 1_000;
const AFTER_MS = 10_000;
const BACK_MS = 62_000;

export interface AttackSoakOptions {
  /** Of each attack. */
  readonly durationMs: number;
  /** Called after each. */
  readonly onAttack: (name: string, failures: readonly string[], attacker: string) => void;
}

/** @returns how many attacks broke a bound, and what was left behind in the end */
export async function soakAttacks(
  options: AttackSoakOptions,
): Promise<{ readonly failed: number; readonly left: readonly string[] }> {
  const restore = goFirst();
  const lab = new Lab();
  try {
    const scene = await Scene.open(lab);
    try {
      return await soak(scene, options);
    } finally {
      await scene.close();
    }
  } finally {
    await lab.close();
    restore();
  }
}

async function soak(
  scene: Scene,
  { durationMs, onAttack }: AttackSoakOptions,
): Promise<{ readonly failed: number; readonly left: readonly string[] }> {
  const base = await measureBaseline(scene, BASE_MS);
  const idle = await scene.leftByOthers();
  const times = { attackMs: durationMs, clearMs: CLEAR_MS, afterMs: AFTER_MS };
  let failed = 0;
  for (const attack of ATTACKS) {
    const struck = await strike(scene, attack, times);
    const wrong = strikeFailures({ ...struck, idle }, base.busy.services);
    if (wrong.length > 0) failed++;
    onAttack(attack.name, wrong, struck.attacker);
  }
  await scene.steady.stop();
  const patience = { endedAgoMs: CLEAR_MS + AFTER_MS, patienceMs: BACK_MS };
  const back = await waitUntilBack(scene, idle, patience);
  return { failed, left: backFailures(back, idle) };
}
