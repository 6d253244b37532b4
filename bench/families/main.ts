/**
 * IPv4 beside IPv6: the same daemon and the same guest, case by case in turn, so that what changes from one start to the
 * next is in both. The bridges' TAPs receive as network cards do (NAPI and GRO), as a virtual machine's does: by itself a
 * TAP's kernel handles each frame on its own, and then its costs of a family are most of what is measured.
 *
 *     npm run bench:families -- [rounds] [seconds] [case,...|all] [link] [MTU]
 */
import { measurePairs, tableOf } from '../pairs.ts';
import { joinBoth } from '../peers/bridgepair.ts';
import { startBothByQemu, startBothByTap } from '../peers/hawser.ts';
import { missingRequirements } from '../requirements.ts';
import { Lab } from '../rig/lab.ts';
import { startEchoServers } from '../rig/netbench.ts';

const [ROUNDS = '9', SECONDS = '1', NAMES = 'all', ONLY, MTU] = process.argv.slice(2);
const REQUEST = { rounds: Number(ROUNDS), seconds: Number(SECONDS), names: NAMES };
const MTUS = MTU === undefined ? [1500, 65_520] : [Number(MTU)];
const AS_CARDS = ['-N'];
/** The last is what the kernels and the bridge make of the families, without a proxy between. */
const LINKS = { 'qemu:': startBothByQemu, 'tap:': startBothByTap, 'bridges alone': joinBoth };

const missing = missingRequirements();
if (missing.length > 0) throw new Error(missing.join('\n'));
process.stdout.write(`Medians of ${ROUNDS} pairs (least–most).\n`);
for (const [link, start] of Object.entries(LINKS)) {
  if (link !== (ONLY ?? link)) continue;
  for (const mtu of MTUS) {
    const lab = new Lab(AS_CARDS);
    try {
      lab.build();
      await startEchoServers(lab);
      const both = await start(lab, mtu);
      const pairs = await measurePairs({ lab, peer: both.v4 }, { lab, peer: both.v6 }, REQUEST);
      const table = tableOf(`${link} at MTU ${mtu}`, 'IPv4', 'IPv6', pairs);
      process.stdout.write(`\n${table}`);
    } finally {
      await lab.close();
    }
  }
}
