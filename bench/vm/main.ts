/**
 * One virtual machine whose network card is served in different ways, in one run:
 * `npm run bench:vm -- [--seconds 4] [--runs 3] [--only NAME]`.
 *
 * iperf3 in the guest, one TCP stream each way, to the host's loopback in a network namespace of its
 * own; a boot for each sample, the ways in turn. Prints Gbit/s (median of the runs), the ratio to the
 * first way, and CPU seconds per GB of the process that serves the card. The VM is emulated (TCG), so
 * the guest is what limits: figures are for comparison. Needs root, QEMU, a kernel, busybox, iperf3
 * and passt.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { onPath } from '../../src/lab/on-path.ts';
import { withLibraries } from '../../src/lab/vm/program-files.ts';
import { startVm } from '../../src/lab/vm/start-vm.ts';
import { leaseStep, type VmStep } from '../../src/lab/vm/vm-steps.ts';
import { Background, succeed } from '../../test/system/support/processes.ts';
import { CONTENDERS, serve, type VmContender } from './contenders.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    runs: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    inside: { type: 'boolean', default: false },
  },
});
const SECONDS = Number(values.seconds);
const MEMORY_MIB = 384;
const TICKS_PER_SECOND = 100;
const DIRECTIONS = ['to-host', 'to-guest'] as const;
type Direction = (typeof DIRECTIONS)[number];

interface Sample {
  readonly gbits: number;
  /** Negative where QEMU serves the card itself. */
  readonly cpuPerGb: number;
}
type Samples = Record<Direction, Sample[]>;

async function main(): Promise<void> {
  // A default route: passt takes the guest's addresses from it.
  for (const args of [
    'link set lo up',
    'link add up0 type veth peer name up1',
    'addr add 198.18.0.10/24 dev up0',
    'link set up1 up',
    'link set up0 up',
    'route add default via 198.18.0.1',
  ]) {
    await succeed(['ip', ...args.split(' ')]);
  }
  const server = new Background(['iperf3', '-s', '--forceflush'], {});
  await server.prints(/listening/);
  const results = new Map<string, Samples>();
  try {
    for (let run = 0; run < Number(values.runs); run++) {
      for (const contender of CONTENDERS) {
        if (!contender.name.includes(values.only)) continue;
        for (const mtu of contender.mtus) {
          const key = `${contender.name} | ${mtu}`;
          const samples = results.get(key) ?? { 'to-host': [], 'to-guest': [] };
          results.set(key, samples);
          await measure(contender, mtu, samples);
        }
      }
    }
  } finally {
    await server.stop();
  }
  print(results);
}

async function measure(contender: VmContender, mtu: number, samples: Samples): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'hawser-bench-'));
  const link = join(dir, 'link.sock');
  const daemon = await serve(contender, link, mtu);
  const steps = [leaseStep(), mtuStep(mtu), ...DIRECTIONS.map((way) => iperfStep(way, contender))];
  const extras = { modules: [], files: withLibraries(['iperf3']) };
  const vm = startVm({ link, mode: contender.mode, memoryMiB: MEMORY_MIB, steps, extras });
  try {
    let cpu = 0;
    for await (const { step, ok, words } of vm.results) {
      if (!ok) throw new Error(`${contender.name}: ${step}: ${JSON.stringify(words)}`);
      const before = cpu;
      cpu = daemon === undefined ? 0 : cpuSeconds(daemon.pid);
      const way = DIRECTIONS.find((direction) => direction === step);
      if (way === undefined) continue;
      const gbits = Number(words['bps']) / 1e9;
      const cpuPerGb = daemon === undefined ? -1 : (cpu - before) / ((gbits * SECONDS) / 8);
      samples[way].push({ gbits, cpuPerGb });
      process.stderr.write(`${contender.name} ${mtu} ${way}: ${gbits.toFixed(2)} Gbit/s\n`);
    }
    const { tail } = await vm.ended;
    if (samples['to-guest'].length === 0) throw new Error(`${contender.name}: ${tail.join('\n')}`);
  } finally {
    vm.kill();
    await vm.ended;
    await daemon?.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const mtuStep = (mtu: number): VmStep => ({ name: 'mtu', script: `ifconfig eth0 mtu ${mtu}\n` });

/** What was received, from iperf3's JSON. */
const iperfStep = (way: Direction, { target }: VmContender): VmStep => ({
  name: way,
  script: `${onPath('iperf3')} -J -t ${SECONDS} ${way === 'to-guest' ? '-R' : ''} -c ${target} >/tmp/iperf || {
  grep error /tmp/iperf >&2
  exit 1
}
awk '/"sum_received"/ { sum = 1 } sum && /bits_per_second/ { gsub(/[^0-9.e+]/, "", $2); print "bps=" $2; exit }' /tmp/iperf
`,
});

/** User and system time of a process, all its threads. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function print(results: ReadonlyMap<string, Samples>): void {
  const lines = [
    '| card | MTU | to host Gbit/s | ratio | CPU s/GB | to guest Gbit/s | ratio | CPU s/GB |',
    '|---|---|---|---|---|---|---|---|',
  ];
  const [base] = CONTENDERS;
  for (const [key, samples] of results) {
    const mtu = key.split(' | ')[1];
    const cells = DIRECTIONS.flatMap((way) => {
      const gbits = median(samples[way].map((sample) => sample.gbits));
      const cpu = median(samples[way].map((sample) => sample.cpuPerGb));
      const first = results.get(`${base?.name} | ${mtu}`)?.[way].map((sample) => sample.gbits);
      const ratio = first === undefined ? '' : (gbits / median(first)).toFixed(2);
      return [gbits.toFixed(2), ratio, cpu < 0 ? '' : cpu.toFixed(2)];
    });
    lines.push(`| ${key} | ${cells.join(' | ')} |`);
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

if (values.inside) await main();
else {
  const self = [fileURLToPath(import.meta.url), ...process.argv.slice(2), '--inside'];
  const { status } = spawnSync('unshare', ['-n', process.execPath, ...self], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
