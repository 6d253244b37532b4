/** One attack, from its start until the daemon is as it was before. */
import { setTimeout as sleep } from 'node:timers/promises';
import { listenForNoise, type Noise } from '../rig/noise.ts';
import type { Running } from '../rig/running.ts';
import type { Attack } from './attacks.ts';
import type { Left, Seen } from './daemon-watch.ts';
import type { Scene } from './scene.ts';
import type { Services } from './steady.ts';

const WARM_MS = 2_000;
const CLEAR_MS = 1_000;
const AFTER_MS = 4_000;
/** Back is: this close to what it was. A heap breathes. */
const BACK_MB = 64;
export const BACK_DESCRIPTORS = 16;

export interface Phase {
  readonly services: Services;
  readonly seen: Seen;
  readonly noise: Noise;
}
export interface Baseline {
  readonly quiet: Phase;
  /** The machine as busy as by an attack. */
  readonly busy: Phase;
}
export interface Struck {
  readonly attack: string;
  readonly during: Phase;
  readonly after: Phase;
  readonly idle: Left;
  readonly limit: number;
  /** What the attacker says of itself. */
  readonly attacker: string;
  /** The daemon's end, when it did not live through it. */
  readonly died?: string;
}
export interface Back {
  /** Seconds from the attacker's end; undefined: not in time. */
  readonly rssBackS: number | undefined;
  readonly descriptorsBackS: number | undefined;
  readonly linksBackS: number | undefined;
  readonly end: Left;
  /** What was allowed above idle. */
  readonly aboveMb: number;
}
export type Measured = Struck & Back;

export interface Times {
  readonly attackMs: number;
  /** The attacker is gone; what it left is cleared in this time, and then service counts. */
  readonly clearMs: number;
  readonly afterMs: number;
}

/** @param end what is stopped at its end, before the daemon is waited for */
async function phase(
  { watch, steady }: Scene,
  name: string,
  ms: number,
  end: () => Promise<void> = async () => {},
): Promise<Phase> {
  watch.begin();
  const id = steady.begin(name);
  const noise = listenForNoise();
  await sleep(ms);
  const heard = noise();
  steady.begin(`behind-${name}`);
  await end();
  const seen = await watch.end();
  return { services: await steady.services(id), seen, noise: heard };
}

async function stopAll(running: readonly Running[]): Promise<void> {
  for (const one of running) await one.stop();
}

export async function measureBaseline(scene: Scene, ms: number): Promise<Baseline> {
  await sleep(WARM_MS);
  const quiet = await phase(scene, 'quiet', ms);
  const busy = await scene.beBusy();
  const during = await phase(scene, 'busy', ms, () => stopAll(busy));
  return { quiet, busy: during };
}

/** One attack, and service after it. The good guest's traffic goes on. */
export async function strike(scene: Scene, attack: Attack, times: Times): Promise<Struck> {
  const { watch } = scene;
  const idle = await scene.leftByOthers();
  const attackers = await scene.attack(attack);
  const during = await phase(scene, attack.name, times.attackMs, () => stopAll(attackers));
  await sleep(times.clearMs);
  const after = await phase(scene, 'after', times.afterMs);
  return {
    attack: attack.name,
    during,
    after,
    idle,
    limit: watch.options.descriptors,
    attacker: attackers[0]?.stdout.trim() ?? '',
    ...(watch.isRunning ? {} : { died: watch.daemon.stderr.slice(-800) }),
  };
}

/** One attack on a daemon of its own, from its start until the daemon is as it was before, or `patienceMs` after the end. */
export async function measureAttack(
  scene: Scene,
  attack: Attack,
  seconds: number,
  patienceMs: number,
): Promise<Measured> {
  await sleep(WARM_MS);
  const times = { attackMs: seconds * 1000, clearMs: CLEAR_MS, afterMs: AFTER_MS };
  const struck = await strike(scene, attack, times);
  await scene.steady.stop();
  const endedAgoMs = CLEAR_MS + AFTER_MS;
  return {
    ...struck,
    ...(await waitUntilBack(scene, struck.idle, { endedAgoMs, patienceMs })),
  };
}

export interface Patience {
  readonly endedAgoMs: number;
  readonly patienceMs: number;
  readonly aboveMb?: number;
}

/** @param idle before the first attack. The good guest's own sockets, which live on for minutes, are no rest of an attack */
export async function waitUntilBack(
  scene: Scene,
  idle: Left,
  { endedAgoMs, patienceMs, aboveMb = BACK_MB }: Patience,
): Promise<Back> {
  const ended = performance.now() - endedAgoMs;
  let rssBackS: number | undefined;
  let descriptorsBackS: number | undefined;
  let linksBackS: number | undefined;
  for (;;) {
    const end = await scene.leftByOthers();
    const seconds = (performance.now() - ended) / 1000;
    if (end.rssMb <= idle.rssMb + aboveMb) rssBackS ??= seconds;
    if (end.descriptors <= idle.descriptors + BACK_DESCRIPTORS) descriptorsBackS ??= seconds;
    if (end.links <= idle.links) linksBackS ??= seconds;
    const isBack = ![rssBackS, descriptorsBackS, linksBackS].includes(undefined);
    if (isBack || seconds * 1000 >= patienceMs || !scene.watch.isRunning) {
      return { rssBackS, descriptorsBackS, linksBackS, end, aboveMb };
    }
    await sleep(250);
  }
}
