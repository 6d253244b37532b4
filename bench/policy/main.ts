/**
 * What an egress policy costs: verdicts in the process; and one daemon with a guest, with the policy and without it in
 * turn, with 10,000 rules of all kinds and as many names that the guest has asked for.
 *
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
import { verdictRows } from './verdicts.ts';

const PARTS = ['verdicts', 'bulk', 'connections', 'dns', 'asked'] as const;
const WANTED = process.argv[2] ?? 'all';
const PAIRS = Number(process.argv[3] ?? 9);
const SECONDS = Number(process.argv[4] ?? 2);
const MTU = 1_500;
const GATEWAY = '192.168.127.1';
const NAMES = 10_000;
const ASKED = 100;
const QUERIES = 4_000;
const DNS_CLIENT = fileURLToPath(new URL('./dns-client.js', import.meta.url));
const CLIENT_MS = 60_000;

const wants = (part: (typeof PARTS)[number]): boolean =>
  WANTED === 'all' || WANTED.split(',').includes(part);

interface Row {
  readonly label: string;
  readonly better: 'more' | 'less';
  measure(lab: Lab, peer: Started): Promise<number>;
}

async function askNames(lab: Lab, names: number, queries: number): Promise<Record<string, number>> {
  const argv = [process.execPath, DNS_CLIENT, GATEWAY, DOMAIN, `${names}`, `${queries}`];
  const client = lab.start(lab.guest, argv);
  if (!(await client.finish(CLIENT_MS))) throw new Error('the client of the DNS hung');
  return JSON.parse(client.stdout) as Record<string, number>;
}

const ROWS: readonly (readonly [(typeof PARTS)[number], Row])[] = [
  [
    'bulk',
    {
      label: 'TCP guest to host, Gbit/s',
      better: 'more',
      measure: async (lab, peer) =>
        (await measureBulk({ lab, peer, seconds: SECONDS }, 'to-host', ['-P', '1']))['gbps'] ?? 0,
    },
  ],
  [
    'connections',
    {
      label: 'connections/s guest to host, 32 at once',
      better: 'more',
      measure: async (lab, peer) =>
        (await measureRoundTrips({ lab, peer, seconds: SECONDS }, 'to-host', 'crr', 32))['rate'] ??
        0,
    },
  ],
  [
    'dns',
    {
      label: `DNS, ${ASKED} names, median us`,
      better: 'less',
      measure: async (lab) => (await askNames(lab, ASKED, QUERIES))['p50Us'] ?? 0,
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
async function pairsOf(lab: Lab, peer: Started, row: Row, document: object): Promise<string> {
  const without: number[] = [];
  const withPolicy: number[] = [];
  for (let round = 0; round <= PAIRS; round++) {
    const order = round % 2 === 0 ? [undefined, document] : [document, undefined];
    for (const one of order) {
      await setPolicy(lab, one);
      const value = await row.measure(lab, peer);
      if (round > 0) (one === undefined ? without : withPolicy).push(value); // code is compiled in the first
    }
  }
  const ratios = without.map((value, i) =>
    row.better === 'more' ? (withPolicy[i] ?? 0) / value : value / (withPolicy[i] ?? 1),
  );
  const [none, some, ratio] = [figureOf(without), figureOf(withPolicy), figureOf(ratios)];
  if (none === undefined || some === undefined || ratio === undefined) return '';
  const digits = (value: number): string => `${Number(value.toPrecision(4))}`;
  const spread = `${ratio.min.toFixed(3)}–${ratio.max.toFixed(3)}`;
  return `| ${row.label} | ${digits(none.median)} | ${digits(some.median)} | **${ratio.median.toFixed(3)}** (${spread}) |\n`;
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
    await askNames(lab, NAMES, NAMES);
    process.stdout.write(
      `\nMedians of ${PAIRS} pairs (least–most), ${NAMES} rules and names; more is better in the last column.\n\n`,
    );
    process.stdout.write('| | without | with | with over without |\n|---|---|---|---|\n');
    const document = bigPolicy(NAMES);
    for (const row of rows) process.stdout.write(await pairsOf(lab, peer, row, document));
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
