/**
 * Each attack of `bench/hostile` for seconds, one after the other on the same daemon, beside a good guest. For minutes:
 * `test/soak`; with a daemon of its own for each, and in figures: `npm run bench:hostile`.
 */
import assert from 'node:assert/strict';
import { ATTACKS } from '../../bench/hostile/attacks.ts';
import type { Left } from '../../bench/hostile/daemon-watch.ts';
import {
  type Baseline,
  measureBaseline,
  strike,
  waitUntilBack,
} from '../../bench/hostile/measure.ts';
import { goFirst } from '../../bench/hostile/priority.ts';
import { Scene } from '../../bench/hostile/scene.ts';
import { BOUNDS, type Bounds, backFailures, strikeFailures } from '../../bench/hostile/verdict.ts';
import { Lab } from '../../bench/rig/lab.ts';
import { LAB, systemSuite } from '../support/requirements.ts';

/**
 * Of 60 requests the 99th percentile is the slowest but one, on CPUs that are shared: it may be slower than where figures are
 * made. CPU time is as well, by what others do to the caches.
 */
const SHARED: Bounds = { ...BOUNDS, p99Ms: 250, p99Factor: 250, turnMs: 40, apiP99Ms: 300 };
/** A heap that has seen all attacks, and code that was compiled for them. */
const ABOVE_MB = 100;
const TIMES = { attackMs: 1_200, clearMs: 200, afterMs: 500 };
const GRACE_S = 5;
const BACK_MS = 30_000;
/** The least that one of the attacks asks for. */
const DESCRIPTORS = Math.min(
  ...ATTACKS.filter(({ longOnly }) => longOnly !== true).map((one) => one.descriptors ?? 4096),
);

systemSuite('a good guest beside a hostile one', [...LAB, 'gcc'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let scene: Scene;
  let base: Baseline;
  let idle: Left;
  let restore: () => void;

  before(async () => {
    restore = goFirst();
    lab = new Lab();
    const args = ['--link-grace', `${GRACE_S}`];
    scene = await Scene.open(lab, { descriptors: DESCRIPTORS, args });
    base = await measureBaseline(scene, TIMES.attackMs);
    idle = await scene.leftByOthers();
  });
  after(async () => {
    await scene?.close();
    await lab.close();
    restore();
  });

  for (const attack of ATTACKS.filter(({ longOnly }) => longOnly !== true)) {
    it(`is served during ${attack.name}: ${attack.about}`, async () => {
      const struck = await strike(scene, attack, TIMES);
      const wrong = strikeFailures({ ...struck, idle }, base.busy.services, SHARED);
      assert.deepEqual(wrong, [], struck.attacker);
    });
  }

  it('leaves no memory, no descriptor and no link behind when the attackers have left', async () => {
    await scene.steady.stop();
    const times = { endedAgoMs: 0, patienceMs: BACK_MS, aboveMb: ABOVE_MB };
    assert.deepEqual(backFailures(await waitUntilBack(scene, idle, times), idle), []);
  });
});
