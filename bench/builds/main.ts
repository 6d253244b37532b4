/**
 * This build of hawser beside another one: two daemons with a guest each, case by case in turn. For a change that must not
 * make anything slower; the other one is a checkout, built. What V8 makes of the same code differs by a tenth from one
 * start to the next, so that both are started many times.
 *
 *     npm run bench:builds -- CHECKOUT [starts] [rounds] [seconds] [case,...|all] [link] [MTU]
 */
import { type Contender, measurePairs, type Pairs, tableOf } from '../pairs.ts';
import { type Link, startBuild } from '../peers/hawser.ts';
import { missingRequirements } from '../requirements.ts';
import { Lab } from '../rig/lab.ts';
import { startEchoServers } from '../rig/netbench.ts';
import { PACKAGE_ROOT } from '../rig/tools.ts';

const [OTHER, ...REST] = process.argv.slice(2);
const [STARTS = '8', ROUNDS = '4', SECONDS = '1', NAMES = 'all', ONLY, MTU] = REST;
if (OTHER === undefined) throw new Error('which other checkout? bench:builds -- CHECKOUT');
const REQUEST = { rounds: Number(ROUNDS), seconds: Number(SECONDS), names: NAMES };
const MTUS = MTU === undefined ? [1500, 65_520] : [Number(MTU)];
const LINKS: readonly Link[] = ['qemu:', 'tap:'];

async function startContender(lab: Lab, root: string, link: Link, mtu: number): Promise<Contender> {
  lab.build();
  await startEchoServers(lab);
  return { lab, peer: await startBuild(lab, mtu, link, root) };
}

/** @param isReverse whether ours is started before the other one */
async function measureStart(
  other: string,
  link: Link,
  mtu: number,
  isReverse: boolean,
  pairs: Pairs,
): Promise<void> {
  const roots = isReverse ? [PACKAGE_ROOT, other] : [other, PACKAGE_ROOT];
  const labs = roots.map((_root, i) => new Lab([], `${i}`));
  try {
    const contenders: Contender[] = [];
    for (const [i, lab] of labs.entries()) {
      contenders.push(await startContender(lab, roots[i] ?? '', link, mtu));
    }
    const [first, second] = isReverse ? contenders.reverse() : contenders;
    if (first === undefined || second === undefined) throw new Error('two were started');
    await measurePairs(first, second, REQUEST, pairs);
  } finally {
    for (const lab of labs) await lab.close();
  }
}

const missing = missingRequirements();
if (missing.length > 0) throw new Error(missing.join('\n'));
process.stdout.write(`Medians of ${STARTS} starts, ${ROUNDS} pairs each (least–most).\n`);
for (const link of LINKS) {
  if (link !== (ONLY ?? link)) continue;
  for (const mtu of MTUS) {
    const pairs: Pairs = new Map();
    for (let start = 0; start < Number(STARTS); start++) {
      await measureStart(OTHER, link, mtu, start % 2 === 1, pairs);
    }
    process.stdout.write(`\n${tableOf(`${link} at MTU ${mtu}`, 'other', 'this', pairs)}`);
  }
}
