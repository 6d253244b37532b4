/**
 * IPv4 beside IPv6: the same daemon and the same guest, case by case in turn, so that what changes from one start to the
 * next is in both. The bridges' TAPs receive as network cards do (NAPI and GRO), as a virtual machine's does: by itself a
 * TAP's kernel handles each frame on its own, and then its costs of a family are most of what is measured.
 *
 *     npm run bench:families -- [rounds] [seconds] [case,...|all] [link] [MTU]
 */
import { CASES } from '../cases/all.ts';
import type { Case, Values } from '../cases/case.ts';
import { joinBoth } from '../peers/bridgepair.ts';
import { startBothByQemu, startBothByTap } from '../peers/hawser.ts';
import type { BothFamilies, Started } from '../peers/peer.ts';
import { figureOf } from '../report/statistics.ts';
import { missingRequirements } from '../requirements.ts';
import { Lab, PORTS } from '../rig/lab.ts';
import { netbench, startEchoServers } from '../rig/netbench.ts';

const ROUNDS = Number(process.argv[2] ?? 9);
const SECONDS = Number(process.argv[3] ?? 1);
const MTUS = process.argv[6] === undefined ? [1500, 65_520] : [Number(process.argv[6])];
const PROBE_S = 10;
const AS_CARDS = ['-N'];
/** The last is what the kernels and the bridge make of the families, without a proxy between. */
const LINKS = { 'qemu:': startBothByQemu, 'tap:': startBothByTap, 'bridges alone': joinBoth };

/** What is compared of each case, and whether more is better. */
const ALL_ROWS: readonly (readonly [string, string, string, 'more' | 'less'])[] = [
  ['tcp-g2h-1', 'gbps', 'TCP guest to host, Gbit/s', 'more'],
  ['tcp-g2h-1', 'cpuSPerGb', 'CPU s/GB', 'less'],
  ['tcp-h2g-1', 'gbps', 'TCP host to guest, Gbit/s', 'more'],
  ['tcp-h2g-1', 'cpuSPerGb', 'CPU s/GB', 'less'],
  ['rr-g2h', 'p50Us', 'request and response guest to host, p50 us', 'less'],
  ['rr-h2g', 'p50Us', 'request and response host to guest, p50 us', 'less'],
  ['crr-g2h-32', 'rate', 'connections/s guest to host, 32 at once', 'more'],
  ['crr-g2h-32', 'cpuUsEach', 'CPU us each', 'less'],
  ['crr-h2g-32', 'rate', 'connections/s host to guest, 32 at once', 'more'],
  ['crr-h2g-32', 'cpuUsEach', 'CPU us each', 'less'],
  ['udp-1400-g2h', 'kpps', 'UDP guest to host, 1400 bytes, kpps', 'more'],
  ['udp-1400-g2h', 'cpuUsEach', 'CPU us each', 'less'],
  ['udp-1400-h2g', 'kpps', 'UDP host to guest, 1400 bytes, kpps', 'more'],
  ['udp-1400-h2g', 'cpuUsEach', 'CPU us each', 'less'],
];

const WANTED = process.argv[4] ?? 'all';
const ROWS = ALL_ROWS.filter(([name]) => WANTED === 'all' || WANTED.split(',').includes(name));

interface Pair {
  readonly v4: Values;
  readonly v6: Values;
}

function caseNamed(name: string): Case {
  const found = CASES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no case ${name}`);
  return found;
}

/** Each round begins with the other family. */
async function measurePairs(lab: Lab, both: BothFamilies): Promise<Map<string, Pair[]>> {
  const pairs = new Map<string, Pair[]>();
  for (let round = 0; round <= ROUNDS; round++) {
    for (const name of new Set(ROWS.map(([of]) => of))) {
      const run = (peer: Started): Promise<Values> =>
        caseNamed(name).run({ lab, peer, seconds: SECONDS });
      const first = round % 2 === 0 ? await run(both.v4) : undefined;
      const v6 = await run(both.v6);
      const v4 = first ?? (await run(both.v4));
      if (round === 0) continue; // code is compiled meanwhile
      pairs.set(name, [...(pairs.get(name) ?? []), { v4, v6 }]);
    }
  }
  return pairs;
}

const digits = (value: number): string => `${Number(value.toPrecision(3))}`;

/** The ratio is that of what is better when it is more. */
function rowOf(pairs: readonly Pair[], key: string, label: string, better: string): string {
  const of = (family: keyof Pair): number[] => pairs.map((pair) => pair[family][key] ?? 0);
  const [v4, v6] = [of('v4'), of('v6')];
  const ratios = v4.map((value, i) =>
    better === 'more' ? (v6[i] ?? 0) / value : value / (v6[i] ?? 0),
  );
  const [four, six, ratio] = [figureOf(v4), figureOf(v6), figureOf(ratios)];
  if (four === undefined || six === undefined || ratio === undefined) return '';
  const spread = `${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}`;
  return `| ${label} | ${digits(four.median)} | ${digits(six.median)} | **${ratio.median.toFixed(2)}** (${spread}) |\n`;
}

const missing = missingRequirements();
if (missing.length > 0) throw new Error(missing.join('\n'));
process.stdout.write(`Medians of ${ROUNDS} pairs (least–most).\n`);
const ONLY = process.argv[5];
for (const [link, start] of Object.entries(LINKS)) {
  if (link !== (ONLY ?? link)) continue;
  for (const mtu of MTUS) {
    const lab = new Lab(AS_CARDS);
    try {
      lab.build();
      await startEchoServers(lab);
      const both = await start(lab, mtu);
      for (const { toHost } of [both.v4, both.v6]) {
        const args = ['probe', toHost ?? '', PORTS.host.echo, PROBE_S * 1000];
        await netbench(lab, lab.guest, args, PROBE_S);
      }
      const pairs = await measurePairs(lab, both);
      process.stdout.write(
        `\n| ${link} at MTU ${mtu} | IPv4 | IPv6 | IPv6 over IPv4 |\n|---|---|---|---|\n`,
      );
      for (const [name, key, label, better] of ROWS) {
        process.stdout.write(rowOf(pairs.get(name) ?? [], key, label, better));
      }
    } finally {
      await lab.close();
    }
  }
}
