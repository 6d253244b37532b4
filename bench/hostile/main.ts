/**
 * What a good guest, the control API and the machine feel while another guest attacks.
 *
 *     npm run bench:hostile -- [--only NAME,...] [--seconds N] [--patience N] [--build DIR] [--out DIR] [--docs] [--list]
 *         [-- more options of hawser run]
 *
 * Each attack meets a daemon of its own, which has `--patience` seconds to be as before; `--docs` puts the table into `docs/security.md`. As root, on Linux. Status 1 when a bound does not hold.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine } from '../machine.ts';
import { missingRequirements } from '../requirements.ts';
import { Lab } from '../rig/lab.ts';
import { PACKAGE_ROOT } from '../rig/tools.ts';
import { ATTACKS, type Attack } from './attacks.ts';
import { type Baseline, type Measured, measureAttack, measureBaseline } from './measure.ts';
import { goFirst } from './priority.ts';
import { attackTable, replaceTable } from './report.ts';
import { Scene } from './scene.ts';
import { failures } from './verdict.ts';

const DOCUMENT = join(PACKAGE_ROOT, 'docs/security.md');
const WHY_CHARS = 400;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    patience: { type: 'string', default: '62' },
    build: { type: 'string', default: PACKAGE_ROOT },
    out: { type: 'string', default: '.' },
    docs: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});
const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

async function inScene<T>(
  descriptors: number | undefined,
  act: (scene: Scene) => Promise<T>,
): Promise<T> {
  const lab = new Lab();
  const abandon = (): void => {
    lab.abandon();
    process.exit(1);
  };
  for (const signal of SIGNALS) process.on(signal, abandon);
  try {
    const root = resolve(values.build);
    const scene = await Scene.open(lab, {
      args: positionals,
      root,
      ...(descriptors === undefined ? {} : { descriptors }),
    });
    try {
      return await act(scene);
    } finally {
      await scene.close();
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, abandon);
    await lab.close();
  }
}

function chosen(): readonly Attack[] {
  const names = values.only?.split(',');
  const unknown = names?.find((name) => !ATTACKS.some((attack) => attack.name === name));
  if (unknown !== undefined) throw new Error(`no such attack: ${unknown}; --list has their names`);
  return ATTACKS.filter(({ name }) => names?.includes(name) ?? true);
}

async function measureAll(attacks: readonly Attack[], seconds: number): Promise<boolean> {
  const base = await inScene(undefined, (scene) => measureBaseline(scene, seconds * 1000));
  const patienceMs = Number(values.patience) * 1000;
  const measured: Measured[] = [];
  for (const attack of attacks) {
    try {
      const one = await inScene(attack.descriptors, (s) =>
        measureAttack(s, attack, seconds, patienceMs),
      );
      measured.push(one);
      const wrong = failures(one, base);
      say(`${attack.name}: ${wrong.length === 0 ? 'holds' : wrong.join('; ')}  ${one.attacker}`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      say(`${attack.name}: not measured: ${why.slice(-WHY_CHARS)}`);
    }
  }
  write(base, measured);
  return (
    measured.length === attacks.length && measured.every((one) => failures(one, base).length === 0)
  );
}

function write(base: Baseline, attacks: readonly Measured[]): void {
  const table = attackTable(base, attacks);
  mkdirSync(values.out, { recursive: true });
  const about = `${describeMachine()}, Node ${process.version}, ${values.seconds} s each.`;
  const results = { machine: describeMachine(), base, attacks };
  writeFileSync(join(values.out, 'hostile.json'), `${JSON.stringify(results, undefined, 1)}\n`);
  writeFileSync(join(values.out, 'hostile.md'), `${table}\n`);
  if (values.docs)
    writeFileSync(DOCUMENT, replaceTable(readFileSync(DOCUMENT, 'utf8'), `${about}\n\n${table}`));
  process.stdout.write(`${table}\n`);
}

const missing = missingRequirements();
if (values.list) {
  for (const { name, about } of ATTACKS) process.stdout.write(`${name.padEnd(16)} ${about}\n`);
} else if (missing.length > 0) {
  say(`the attacks need: ${missing.join('; ')}`);
  process.exitCode = 1;
} else {
  const restore = goFirst();
  try {
    process.exitCode = (await measureAll(chosen(), Number(values.seconds))) ? 0 : 1;
  } finally {
    restore();
  }
}
