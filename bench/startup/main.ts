/**
 * How long `hawser run` takes from its start to the line on `--ready-fd`, and its resident memory then and when
 * it has been idle: the bundled program that users start, with and without its sandbox, for which it starts twice, and the modules it is made of.
 * And `hawser-gvproxy`, as podman machine starts it, to the socket that a machine connects to.
 *
 *     npm run bench:startup -- [starts]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { figureOf } from '../report/statistics.ts';
import { memoryOf } from '../rig/proc.ts';
import { Running } from '../rig/running.ts';
import { PACKAGE_ROOT } from '../rig/tools.ts';

const STARTS = Number(process.argv[2] ?? 15);
const READY_FD = 3;
/** By then what is loaded after readiness is there. */
const IDLE_MS = 2_000;
const GVPROXY = 'dist/bin/hawser-gvproxy.js';
const PROGRAMS = [
  ['dist/bin/hawser.js', 'on'],
  ['dist/bin/hawser.js', 'off'],
  ['dist/src/cli/main.js', 'off'],
  [GVPROXY, 'on'],
  [GVPROXY, 'off'],
] as const;

interface Start {
  readonly ms: number;
  readonly readyMb: number;
  readonly idleMb: number;
}

function argumentsOf(program: string, sandbox: string, dir: string): readonly string[] {
  if (program === GVPROXY) {
    const files = ['-pid-file', join(dir, 'pid'), '-log-file', join(dir, 'log')];
    return [
      '-ssh-port=-1',
      '-listen-qemu',
      `unix://${dir}/qemu.sock`,
      ...files,
      '-sandbox',
      sandbox,
    ];
  }
  const links = ['--listen', `qemu:${dir}/qemu.sock`, '-p', '0:80', '-p', '0:53/udp'];
  const options = ['--ready-fd', `${READY_FD}`, '--log-level', 'warn', '--sandbox', sandbox];
  return ['run', ...links, ...options];
}

async function appears(dir: string, name: string): Promise<void> {
  for await (const { filename } of watch(dir)) if (filename === name) return;
}

async function start(program: string, sandbox: string, dir: string): Promise<Start> {
  const args = argumentsOf(program, sandbox, dir);
  const isThere = program === GVPROXY ? appears(dir, 'qemu.sock') : undefined;
  const before = performance.now();
  const argv = [process.execPath, join(PACKAGE_ROOT, program), ...args];
  const daemon = new Running(argv, { env: { XDG_RUNTIME_DIR: dir }, extraPipes: 1 });
  await (isThere ?? daemon.says(READY_FD));
  const ms = performance.now() - before;
  const readyMb = memoryOf([daemon.pid]).rssMb;
  await sleep(IDLE_MS);
  const idleMb = memoryOf([daemon.pid]).rssMb;
  await daemon.stop();
  return { ms, readyMb, idleMb };
}

function cell(values: readonly number[]): string {
  const figure = figureOf(values);
  if (figure === undefined) return '–';
  return `${figure.median.toFixed(0)} (${figure.min.toFixed(0)}–${figure.max.toFixed(0)})`;
}

const dir = mkdtempSync(join(tmpdir(), 'hawser-bench-'));
process.stdout.write('Medians (least–most).\n\n');
process.stdout.write(
  '| program | sandbox | ready, ms | RSS when ready, MB | RSS idle, MB |\n|---|---|---|---|---|\n',
);
for (const [program, sandbox] of PROGRAMS) {
  const starts: Start[] = [];
  for (let i = 0; i < STARTS; i++) starts.push(await start(program, sandbox, dir));
  const cells = (['ms', 'readyMb', 'idleMb'] as const).map((key) =>
    cell(starts.map((one) => one[key])),
  );
  process.stdout.write(`| ${[program, sandbox, ...cells].join(' | ')} |\n`);
}
rmSync(dir, { recursive: true });
