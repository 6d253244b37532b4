/**
 * As root; status 1 when it failed:
 *
 *     node dist/test/soak/main.js [--minutes N] [--seed N]     hostile frames: see `soak.ts`
 *     node dist/test/soak/main.js --attacks [--minutes N]      each attack so long: see `attacks.ts`
 */
import { parseArgs } from 'node:util';
import { soakAttacks } from './attacks.ts';
import { runSoak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    attacks: { type: 'boolean', default: false },
  },
});
const durationMs = Number(values.minutes ?? (values.attacks ? '2' : '10')) * 60_000;
const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};
if (values.attacks) {
  const { failed, left } = await soakAttacks({
    durationMs,
    onAttack: (name, failures, attacker) =>
      say(`${name}: ${failures.join('; ') || 'holds'} ${attacker}`),
  });
  for (const line of left) say(line);
  process.exitCode = failed + left.length === 0 ? 0 : 1;
} else {
  const report = await runSoak({ durationMs, seed: Number(values.seed), onSample: say });
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
}
