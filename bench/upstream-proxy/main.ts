/**
 * What it costs that hawser asks an upstream proxy for guests that know of none, beside the same client that asks it by
 * itself, through hawser too; and what it costs flows that are not for the proxy that there is one.
 *
 *     npm run bench:upstream-proxy -- [pairs] [seconds] [squid,tinyproxy,direct|all] [KIND,...|all]
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { startTapWith } from '../peers/hawser.ts';
import { figureOf } from '../report/statistics.ts';
import { missingRequirements } from '../requirements.ts';
import { Lab } from '../rig/lab.ts';
import { Namespace } from '../rig/namespace.ts';
import type { Running } from '../rig/running.ts';

const PAIRS = Number(process.argv[2] ?? 5);
const SECONDS = Number(process.argv[3] ?? 1);
const WANTED = process.argv[4] ?? 'all';
const KINDS = process.argv[5] ?? 'all';
const MTU = 1_500;
const CLIENT_MS = 30_000;
const ORIGIN = '192.0.2.1';
const PROXY = '198.18.1.1';
const PROXY_PORT = 3128;
const HOST = '198.18.1.10';
const PROGRAM = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

const ROWS: readonly (readonly [kind: string, label: string])[] = [
  ['tunnel-bulk', 'tunnel (CONNECT), Gbit/s of one connection'],
  ['tunnel-rate', 'tunnel, connections/s, 32 at once'],
  ['http-bulk', 'HTTP, Gbit/s of one body'],
  ['http-rate', 'HTTP, connections/s, 32 at once'],
  ['http-kept', 'HTTP, requests/s on 32 kept connections'],
];
const DIRECT_ROWS: typeof ROWS = [
  ['direct-bulk', 'a port that is not for the proxy, Gbit/s of one connection'],
  ['direct-rate', 'a port that is not for the proxy, connections/s, 32 at once'],
];

type ProxyName = 'squid' | 'tinyproxy';

/** One of two ways that are compared. */
interface Way {
  readonly isConfigured: boolean;
  readonly isExplicit: boolean;
}
const TRANSPARENT: Way = { isConfigured: true, isExplicit: false };
const EXPLICIT: Way = { isConfigured: false, isExplicit: true };
const NONE: Way = { isConfigured: false, isExplicit: false };

class Scene {
  readonly lab = new Lab();
  readonly outside = new Namespace(`hawser-b${process.pid}o`);
  private proxy: Running | undefined = undefined;

  async open(): Promise<void> {
    const { lab, outside } = this;
    lab.build();
    outside.create();
    lab.host.ip(
      `link add out0 type veth peer name in0 netns ${outside.name}`,
      `addr add ${HOST}/24 dev out0`,
      'link set out0 up',
      `route add ${ORIGIN}/32 via ${PROXY} dev out0`,
    );
    outside.ip(`addr add ${PROXY}/24 dev in0`, 'link set in0 up', `addr add ${ORIGIN}/32 dev lo`);
    const origin = lab.start(outside, [process.execPath, PROGRAM('origin'), ORIGIN]);
    await origin.prints(/serving/);
    await startTapWith(lab, MTU, []);
  }

  async startProxy(name: ProxyName): Promise<void> {
    await this.proxy?.stop();
    const { lab, outside } = this;
    this.proxy = lab.start(outside, name === 'squid' ? squid(lab) : tinyproxy(lab));
    const probe = [process.execPath, PROGRAM('client'), 'http-rate', ORIGIN, '0.1', PROXY];
    for (let i = 0; ; i++) {
      if (i === 50) throw new Error(`${name} does not serve: ${this.proxy.stderr}`);
      const client = lab.start(outside, probe);
      await client.finish(CLIENT_MS);
      if (Number(client.stdout) > 0) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async measure(kind: string, { isConfigured, isExplicit }: Way): Promise<number> {
    const { lab } = this;
    await setProxy(lab, isConfigured ? [`http://${PROXY}:${PROXY_PORT}`] : []);
    const argv = [process.execPath, PROGRAM('client'), kind, ORIGIN, `${SECONDS}`];
    const client = lab.start(lab.guest, isExplicit ? [...argv, PROXY] : argv);
    if (!(await client.finish(CLIENT_MS)) || client.child.exitCode !== 0) {
      throw new Error(`${kind}: ${client.stderr}`);
    }
    return Number(client.stdout);
  }

  async close(): Promise<void> {
    await this.lab.close();
    this.outside.remove();
  }
}

function squid(lab: Lab): readonly string[] {
  const dir = lab.path('squid');
  mkdirSync(dir, { recursive: true });
  for (const path of [lab.dir, dir]) chmodSync(path, 0o777); // it runs as a user of its own
  const conf = `${dir}/squid.conf`;
  writeFileSync(
    conf,
    [
      ...[`http_port ${PROXY_PORT}`, 'cache deny all', 'shutdown_lifetime 0 seconds'],
      ...['pid_filename none', `cache_log ${dir}/cache.log`, 'access_log none', 'logfile_rotate 0'],
      ...['pinger_enable off', 'netdb_filename none', 'cache_mem 8 MB', `coredump_dir ${dir}`],
      ...['dns_nameservers 127.0.0.1', 'http_access allow all', ''],
    ].join('\n'),
  );
  // Its shared memory has names of the whole machine.
  const run = 'mount -t tmpfs none /dev/shm && exec "$0" "$@"';
  return ['unshare', '-m', 'sh', '-c', run, 'squid', '-N', '-f', conf];
}

function tinyproxy(lab: Lab): readonly string[] {
  const conf = lab.path('tinyproxy.conf');
  writeFileSync(
    conf,
    [`Port ${PROXY_PORT}`, 'Timeout 60', 'LogLevel Error', 'MaxClients 400', ''].join('\n'),
  );
  return ['tinyproxy', '-d', '-c', conf];
}

async function setProxy(lab: Lab, upstreamProxy: readonly string[]): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const outgoing = request({
      ...{ socketPath: lab.path('hawser/default/api.sock'), method: 'PUT', path: '/v1/proxy' },
      headers: { host: 'hawser', 'content-type': 'application/json' },
    });
    outgoing.on('error', reject).on('response', (answer) => {
      answer.resume().on('end', () => {
        if (answer.statusCode === 200) resolve();
        else reject(new Error(`the proxy was answered by ${answer.statusCode}`));
      });
    });
    outgoing.end(JSON.stringify({ upstreamProxy, httpsPorts: [443, 444] }));
  });
}

/** Each round begins with the other of the two. */
async function pairsOf(
  scene: Scene,
  [kind, label]: (typeof ROWS)[number],
  [base, ours]: readonly [Way, Way],
): Promise<string> {
  const pairs: (readonly [number, number])[] = [];
  for (let round = 0; round <= PAIRS; round++) {
    const values = new Map<Way, number>();
    for (const way of round % 2 === 0 ? [base, ours] : [ours, base]) {
      values.set(way, await scene.measure(kind, way));
    }
    // Code is compiled in the first.
    if (round > 0) pairs.push([values.get(base) ?? 0, values.get(ours) ?? 0]);
  }
  const [first, second, ratio] = [
    figureOf(pairs.map(([one]) => one)),
    figureOf(pairs.map(([, two]) => two)),
    figureOf(pairs.map(([one, two]) => two / one)),
  ];
  if (first === undefined || second === undefined || ratio === undefined) return '';
  const digits = (value: number): string => `${Number(value.toPrecision(3))}`;
  const spread = `${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}`;
  return `| ${label} | ${digits(first.median)} | ${digits(second.median)} | **${ratio.median.toFixed(2)}** (${spread}) |\n`;
}

const missing = missingRequirements();
if (missing.length > 0) throw new Error(missing.join('\n'));
const isIn = (list: string, what: string): boolean =>
  list === 'all' || list.split(',').includes(what);
const wants = (what: string): boolean => isIn(WANTED, what);
const isWanted = ([kind]: (typeof ROWS)[number]): boolean => isIn(KINDS, kind);
const scene = new Scene();
try {
  await scene.open();
  process.stdout.write(`Medians of ${PAIRS} pairs of ${SECONDS} s (least–most).\n`);
  for (const name of ['squid', 'tinyproxy'] as const) {
    if (!wants(name)) continue;
    await scene.startProxy(name);
    process.stdout.write(
      `\n| ${name} | the client asks the proxy | hawser asks it | the second over the first |\n|---|---|---|---|\n`,
    );
    for (const row of ROWS.filter(isWanted))
      process.stdout.write(await pairsOf(scene, row, [EXPLICIT, TRANSPARENT]));
  }
  if (wants('direct')) {
    process.stdout.write(
      '\n| | no proxy | a proxy | the second over the first |\n|---|---|---|---|\n',
    );
    for (const row of DIRECT_ROWS.filter(isWanted)) {
      process.stdout.write(await pairsOf(scene, row, [NONE, TRANSPARENT]));
    }
  }
} finally {
  await scene.close();
}
