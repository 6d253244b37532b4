/** `npm run soak -- [--minutes N] [--seed N]`: see `soak.ts`. As root. Status 1 when it failed. */
import { parseArgs } from 'node:util';
import { runSoak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
  },
});
const report = await runSoak({
  durationMs: Number(values.minutes) * 60_000,
  seed: Number(values.seed),
  onSample: (text) => process.stderr.write(`${text}\n`),
});
process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
