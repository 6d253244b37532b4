/** What hooks, verdicts and the audit log cost each connection: a network with each of them, and one with none, in turn. */
import { fileURLToPath } from 'node:url';
import { measureRoundTrips } from '../cases/latency.ts';
import { configureGuest, TAP } from '../peers/bridged.ts';
import { figureOf } from '../report/statistics.ts';
import { Lab } from '../rig/lab.ts';
import { startEchoServers } from '../rig/netbench.ts';
import { VARIANTS, type Variant } from './variants.ts';

const MAIN = fileURLToPath(new URL('./asked-main.js', import.meta.url));
const MTU = 1_500;
const READY_MS = 10_000;
const ADDRESS = { cidr: '192.168.127.2/24', router: '192.168.127.1' };
const HOST = '192.168.127.254';
const AT_ONCE = 32;

/** @returns connections/s */
async function measure(lab: Lab, variant: Variant, seconds: number): Promise<number> {
  const link = `tap:${TAP}@${lab.guest.name}`;
  const argv = [process.execPath, MAIN, variant, link, lab.path('audit.log')];
  const daemon = lab.start(lab.host, argv);
  await daemon.prints(/ready/, READY_MS);
  configureGuest(lab, MTU, ADDRESS);
  const peer = { daemons: [daemon], toHost: HOST, toGuest: HOST };
  const run = { lab, peer, seconds };
  await measureRoundTrips({ ...run, seconds: 1 }, 'to-host', 'crr', AT_ONCE); // compiled meanwhile
  const { rate = 0 } = await measureRoundTrips(run, 'to-host', 'crr', AT_ONCE);
  await daemon.stop();
  return rate;
}

/** The rows of a table. */
export async function askedRows(rounds: number, seconds: number): Promise<string> {
  const lab = new Lab();
  const rates = new Map<Variant, number[]>(VARIANTS.map((variant) => [variant, []]));
  try {
    lab.build();
    await startEchoServers(lab);
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? VARIANTS : VARIANTS.toReversed();
      for (const variant of order) {
        rates.get(variant)?.push(await measure(lab, variant, seconds));
      }
    }
  } finally {
    await lab.close();
  }
  const none = rates.get('none') ?? [];
  const rows = VARIANTS.map((variant) => {
    const own = rates.get(variant) ?? [];
    const ratio = figureOf(own.map((rate, round) => rate / (none[round] ?? rate)));
    const spread = `${ratio?.min.toFixed(3)}–${ratio?.max.toFixed(3)}`;
    const rate = Math.round(figureOf(own)?.median ?? 0);
    return `| ${variant} | ${rate} | **${ratio?.median.toFixed(3)}** (${spread}) |\n`;
  });
  const head = `\nMedians of ${rounds} rounds (least–most), ${AT_ONCE} at once.\n\n`;
  return `${head}| asked or told of each flow | connections/s | over none |\n|---|---|---|\n${rows.join('')}`;
}
