/**
 * How long `hawser run` takes from its start to the line on `--ready-fd`, and its resident memory then and when
 * it has been idle: the bundled program that users start, and the modules it is made of.
 *
 *     npm run bench:startup -- [starts]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const STARTS = Number(process.argv[2] ?? 15);
const READY_FD = 3;
/** By then what is loaded after readiness is there. */
const IDLE_MS = 2_000;
const dist = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const PROGRAMS = [
  ['dist/bin', dist('bin/hawser.js')],
  ['dist/src', dist('src/cli/main.js')],
] as const;

interface Start {
  readonly ms: number;
  readonly readyMb: number;
  readonly idleMb: number;
}

function residentMb(pid: number | undefined): number {
  const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kb) / 1024;
}

async function start(program: string, dir: string): Promise<Start> {
  const run = ['run', '--listen', `qemu:${dir}/qemu.sock`, '-p', '0:80', '-p', '0:53/udp'];
  const more = [
    '--api',
    `unix:${dir}/api.sock`,
    '--ready-fd',
    `${READY_FD}`,
    '--log-level',
    'warn',
  ];
  const before = performance.now();
  const child = spawn(process.execPath, [program, ...run, ...more], {
    env: { ...process.env, XDG_RUNTIME_DIR: dir },
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  });
  const pipe = child.stdio[READY_FD];
  if (pipe === null || pipe === undefined) throw new Error('no descriptor 3');
  const gone = once(child, 'exit');
  const ready = once(pipe, 'data');
  const unready = gone.then(([code]) => Promise.reject(new Error(`not ready, but ended: ${code}`)));
  await Promise.race([ready, unready]);
  const ms = performance.now() - before;
  const readyMb = residentMb(child.pid);
  await sleep(IDLE_MS);
  const idleMb = residentMb(child.pid);
  child.kill('SIGTERM');
  unready.catch(() => {}); // now it is meant to end
  await gone;
  return { ms, readyMb, idleMb };
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

const dir = mkdtempSync(join(tmpdir(), 'hawser-bench-'));
process.stdout.write(
  '| program | p50 ms | p90 ms | RSS when ready, MB | RSS idle, MB |\n|---|---|---|---|---|\n',
);
for (const [name, program] of PROGRAMS) {
  const starts: Start[] = [];
  for (let i = 0; i < STARTS; i++) starts.push(await start(program, dir));
  const ms = starts.map((one) => one.ms);
  const cells = [
    name,
    quantile(ms, 0.5).toFixed(0),
    quantile(ms, 0.9).toFixed(0),
    ...(['readyMb', 'idleMb'] as const).map((key) =>
      quantile(
        starts.map((one) => one[key]),
        0.5,
      ).toFixed(1),
    ),
  ];
  process.stdout.write(`| ${cells.join(' | ')} |\n`);
}
rmSync(dir, { recursive: true });
