/**
 * What an egress policy costs: verdicts in the process; and one daemon with a guest, with the policy and without it in
 * turn, with 10,000 rules of all kinds and as many names that the guest has asked for.
 *
 * DNS is asked for 100 of these names, which are in the cache: what is left of an answer is what the policy costs.
 * And what hooks and the audit log cost (`asked`).
 *
 *     npm run bench:policy -- [verdicts,bulk,connections,dns,asked|all] [pairs] [seconds]
 */
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { measureRoundTrips } from '../cases/latency.ts';
import { measureBulk } from '../cases/tcp-bulk.ts';
import { startTapWith } from '../peers/hawser.ts';
import type { Started } from '../peers/peer.ts';
import { figureOf } from '../report/statistics.ts';
import { missingRequirements } from '../requirements.ts';
import { Lab } from '../rig/lab.ts';
import { startEchoServers } from '../rig/netbench.ts';
import { askedRows } from './asked.ts';
import { bigPolicy, DOMAIN } from './big-policy.ts';
import { DnsAsker } from './dns-asker.ts';
import { verdictRows } from './verdicts.ts';

const PARTS = ['verdicts', 'bulk', 'connections', 'dns', 'asked'] as const;
const WANTED = process.argv[2] ?? 'all';
const PAIRS = Number(process.argv[3] ?? 9);
const SECONDS = Number(process.argv[4] ?? 2);
const MTU = 1_500;
const GATEWAY = '192.168.127.1';
const NAMES = 10_000;
const ASKED = 100;
const QUERIES = 8_000;
/** Asked in front of each slice: what the change of the policy has left to do is done meanwhile. */
const SETTLING = 4_000;
/** Slices of DNS are short, and there are as many times more of them. */
const DNS_SLICES = 5;
const DNS_CLIENT = fileURLToPath(new URL('./dns-client.js', import.meta.url));

const wants = (part: (typeof PARTS)[number]): boolean =>
  WANTED === 'all' || WANTED.split(',').includes(part);

/** What is measured at once: a figure for each label. */
interface Row {
  readonly labels: readonly string[];
  readonly better: 'more' | 'less';
  readonly pairs: number;
  measure(lab: Lab, peer: Started, asker: DnsAsker): Promise<readonly number[]>;
}

const ROWS: readonly (readonly [(typeof PARTS)[number], Row])[] = [
  [
    'bulk',
    {
      labels: ['TCP guest to host, Gbit/s'],
      better: 'more',
      pairs: PAIRS,
      measure: async (lab, peer) => [
        (await measureBulk({ lab, peer, seconds: SECONDS }, 'to-host', ['-P', '1']))['gbps'] ?? 0,
      ],
    },
  ],
  [
    'connections',
    {
      labels: ['connections/s guest to host, 32 at once'],
      better: 'more',
      pairs: PAIRS,
      measure: async (lab, peer) => [
        (await measureRoundTrips({ lab, peer, seconds: SECONDS }, 'to-host', 'crr', 32))['rate'] ??
          0,
      ],
    },
  ],
  [
    'dns',
    {
      labels: [`DNS, ${ASKED} names, median us`, `DNS, ${ASKED} names, CPU of the daemon, us each`],
      better: 'less',
      pairs: DNS_SLICES * PAIRS,
      measure: async (_lab, _peer, asker) => {
        await asker.ask(ASKED, SETTLING);
        return await asker.ask(ASKED, QUERIES);
      },
    },
  ],
];

/** @param document undefined: there is no policy from now on */
async function setPolicy(lab: Lab, document: object | undefined): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const outgoing = request({
      socketPath: lab.path('hawser/default/api.sock'),
      method: document === undefined ? 'DELETE' : 'PUT',
      path: '/v1/policy',
      headers: { host: 'hawser', 'content-type': 'application/json' },
    });
    outgoing.on('error', reject).on('response', (answer) => {
      answer.resume().on('end', () => {
        if (answer.statusCode === 200) resolve();
        else reject(new Error(`the policy was answered by ${answer.statusCode}`));
      });
    });
    outgoing.end(document === undefined ? undefined : JSON.stringify(document));
  });
}

/** Each round begins with the other of the two. */
async function pairsOf(
  lab: Lab,
  peer: Started,
  asker: DnsAsker,
  row: Row,
  document: object,
): Promise<string> {
  const without: (readonly number[])[] = [];
  const withPolicy: (readonly number[])[] = [];
  for (let round = 0; round <= row.pairs; round++) {
    const order = round % 2 === 0 ? [undefined, document] : [document, undefined];
    for (const one of order) {
      await setPolicy(lab, one);
      const values = await row.measure(lab, peer, asker);
      if (round > 0) (one === undefined ? without : withPolicy).push(values); // code is compiled in the first
    }
  }
  const of = (list: readonly (readonly number[])[], n: number): readonly number[] =>
    list.map((values) => values[n] ?? 0);
  return row.labels
    .map((label, n) => lineOf(label, row.better, of(without, n), of(withPolicy, n)))
    .join('');
}

function lineOf(
  label: string,
  better: Row['better'],
  without: readonly number[],
  withPolicy: readonly number[],
): string {
  const ratios = without.map((value, i) =>
    better === 'more' ? (withPolicy[i] ?? 0) / value : value / (withPolicy[i] ?? 1),
  );
  const [none, some, ratio] = [figureOf(without), figureOf(withPolicy), figureOf(ratios)];
  if (none === undefined || some === undefined || ratio === undefined) return '';
  const digits = (value: number): string => `${Number(value.toPrecision(4))}`;
  const spread = `${ratio.min.toFixed(3)}–${ratio.max.toFixed(3)}, ${ratio.count} pairs`;
  return `| ${label} | ${digits(none.median)} | ${digits(some.median)} | **${ratio.median.toFixed(3)}** (${spread}) |\n`;
}

async function measureDaemon(rows: readonly Row[]): Promise<void> {
  const lab = new Lab();
  try {
    lab.build();
    await startEchoServers(lab);
    const dns = ['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts'];
    const answers = ['-C', '/dev/null', `--address=/${DOMAIN}/198.51.100.7`, '--local-ttl=3600'];
    lab.start(lab.host, [...dns, ...answers, '--listen-address=127.0.0.1', '--bind-interfaces']);
    const peer = await startTapWith(lab, MTU, ['--dns', '127.0.0.1']);
    const asker = new DnsAsker(lab, peer, [DNS_CLIENT, GATEWAY, DOMAIN]);
    await asker.ask(NAMES, NAMES);
    process.stdout.write(
      `\nMedians of pairs (least–most), ${NAMES} rules and names; more is better in the last column.\n\n`,
    );
    process.stdout.write('| | without | with | with over without |\n|---|---|---|---|\n');
    const document = bigPolicy(NAMES);
    for (const row of rows) {
      process.stdout.write(await pairsOf(lab, peer, asker, row, document));
    }
  } finally {
    await lab.close();
  }
}

const missing = missingRequirements();
if (missing.length > 0) throw new Error(missing.join('\n'));
if (wants('verdicts')) process.stdout.write(verdictRows());
const rows = ROWS.filter(([part]) => wants(part)).map(([, row]) => row);
if (rows.length > 0) await measureDaemon(rows);
if (wants('asked')) process.stdout.write(await askedRows(PAIRS, SECONDS));
