/**
 * IPv4 beside IPv6: the same daemon and the same guest, case by case in turn. What V8 makes of the code of a family differs
 * from one start to the next, and by which family came first, so that there are many starts. The bridges' TAPs receive as network cards do (NAPI and GRO), as a virtual machine's does: by itself a
 * TAP's kernel handles each frame on its own, and then its costs of a family are most of what is measured.
 *
 *     npm run bench:families -- [starts] [rounds] [seconds] [case,...|all] [link] [MTU]
 */
import { measurePairs, type Pairs, tableOf } from '../pairs.ts';
import { joinBoth } from '../peers/bridgepair.ts';
import { startBothByQemu, startBothByTap } from '../peers/hawser.ts';
import { missingRequirements } from '../requirements.ts';
import { Lab } from '../rig/lab.ts';
import { startEchoServers } from '../rig/netbench.ts';

const [STARTS = '4', ROUNDS = '4', SECONDS = '1', NAMES = 'all', ONLY, MTU] = process.argv.slice(2);
const REQUEST = { rounds: Number(ROUNDS), seconds: Number(SECONDS), names: NAMES };
const MTUS = MTU === undefined ? [1500, 65_520] : [Number(MTU)];
const AS_CARDS = ['-N'];
/** The last is what the kernels and the bridge make of the families, without a proxy between. */
const LINKS = { 'qemu:': startBothByQemu, 'tap:': startBothByTap, 'bridges alone': joinBoth };

type Start = (typeof LINKS)[keyof typeof LINKS];

/** @param isReverse whether IPv6 comes first */
async function measureStart(
  start: Start,
  mtu: number,
  isReverse: boolean,
  pairs: Pairs,
): Promise<void> {
  const lab = new Lab(AS_CARDS);
  try {
    lab.build();
    await startEchoServers(lab);
    const { v4, v6 } = await start(lab, mtu);
    await measurePairs({ lab, peer: v4 }, { lab, peer: v6 }, { ...REQUEST, isReverse }, pairs);
  } finally {
    await lab.close();
  }
}

const missing = missingRequirements();
if (missing.length > 0) throw new Error(missing.join('\n'));
process.stdout.write(`Medians of ${STARTS} starts, ${ROUNDS} pairs each (least–most).\n`);
for (const [link, start] of Object.entries(LINKS)) {
  if (link !== (ONLY ?? link)) continue;
  for (const mtu of MTUS) {
    const pairs: Pairs = new Map();
    for (let i = 0; i < Number(STARTS); i++) await measureStart(start, mtu, i % 2 === 1, pairs);
    process.stdout.write(`\n${tableOf(`${link} at MTU ${mtu}`, 'IPv4', 'IPv6', pairs)}`);
  }
}
