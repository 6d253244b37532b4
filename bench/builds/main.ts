/**
 * This build of hawser beside another one: two daemons with a guest each, case by case in turn. For a change that must not
 * make anything slower; the other one is a checkout, built.
 *
 *     npm run bench:builds -- CHECKOUT [rounds] [seconds] [case,...|all] [link] [MTU]
 */
import { type Contender, comparePairs } from '../pairs.ts';
import { type Link, startBuild } from '../peers/hawser.ts';
import { missingRequirements } from '../requirements.ts';
import { Lab } from '../rig/lab.ts';
import { startEchoServers } from '../rig/netbench.ts';
import { PACKAGE_ROOT } from '../rig/tools.ts';

const [OTHER, ROUNDS = '15', SECONDS = '1', NAMES = 'all', ONLY, MTU] = process.argv.slice(2);
if (OTHER === undefined) throw new Error('which other checkout? bench:builds -- CHECKOUT');
const REQUEST = { rounds: Number(ROUNDS), seconds: Number(SECONDS), names: NAMES };
const MTUS = MTU === undefined ? [1500, 65_520] : [Number(MTU)];
const LINKS: readonly Link[] = ['qemu:', 'tap:'];

async function startContender(
  lab: Lab,
  label: string,
  root: string,
  link: Link,
  mtu: number,
): Promise<Contender> {
  lab.build();
  await startEchoServers(lab);
  return { label, lab, peer: await startBuild(lab, mtu, link, root) };
}

const missing = missingRequirements();
if (missing.length > 0) throw new Error(missing.join('\n'));
process.stdout.write(`Medians of ${ROUNDS} pairs (least–most).\n`);
for (const link of LINKS) {
  if (link !== (ONLY ?? link)) continue;
  for (const mtu of MTUS) {
    const labs = [new Lab([], 'o'), new Lab([], 't')] as const;
    try {
      const other = await startContender(labs[0], 'other', OTHER, link, mtu);
      const ours = await startContender(labs[1], 'this', PACKAGE_ROOT, link, mtu);
      const table = await comparePairs(`${link} at MTU ${mtu}`, other, ours, REQUEST);
      process.stdout.write(`\n${table}`);
    } finally {
      for (const lab of labs) await lab.close();
    }
  }
}
