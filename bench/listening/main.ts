/**
 * Ports that publish themselves: from listen() in the guest to a client of the host that has its first byte; what the agent
 * costs beside many listeners, connections and binds; and throughput beside `ssh -L`. Guest and host are two namespaces
 * of this machine; the agent's link is a Unix socket, as a vsock's would be, ssh's a pair of virtual cards.
 *
 *     npm run bench:listening -- [latency|cpu|cpu-plain|throughput ...]
 */
import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Lab } from '../rig/lab.ts';
import { threadNs } from '../rig/proc.ts';
import type { Running } from '../rig/running.ts';

const SAMPLES = 200;
const LISTENERS = 500;
const CONNECTIONS = 10_000;
const MEASURED_S = 15;
const BULK_PORT = 5201;
const SSH_PORT = 5301;
const SSH_GUEST = '198.19.0.2';
const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const script = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

const WANTED = process.argv.slice(2);
const isWanted = (what: string): boolean => WANTED.length === 0 || WANTED.includes(what);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

class Rig {
  readonly lab = new Lab();

  async start(): Promise<void> {
    this.lab.build();
    const api = ['--guest-api', 'on', '--mux', `unix:${this.lab.path('mux.sock')}`];
    const argv = [process.execPath, at('bin/hawser.js'), 'run', ...api];
    const links = ['--listen', `qemu:${this.lab.path('qemu.sock')}`, '--log-level', 'warn'];
    const env = { XDG_RUNTIME_DIR: this.lab.dir };
    const daemon = this.lab.start(this.lab.host, [...argv, ...links], { env });
    await daemon.prints(/ready/i).catch(() => {});
  }

  /** @param isPlain without native calls */
  async startAgent(isPlain = false): Promise<Running> {
    let file = at('hawser-agent.mjs');
    if (isPlain) {
      copyFileSync(file, this.lab.path('agent.mjs'));
      file = this.lab.path('agent.mjs');
    }
    const link = ['--connect', `unix:${this.lab.path('mux.sock')}`];
    const argv = [process.execPath, file, ...link, '--publish-listening'];
    const agent = this.lab.start(this.lab.guest, argv);
    await agent.prints(/multiplexer up/);
    return agent;
  }

  run(name: string, ...args: readonly string[]): Running {
    return this.lab.start(this.lab.host, [process.execPath, script(name), ...args]);
  }
}

async function latency(rig: Rig): Promise<void> {
  const agent = await rig.startAgent();
  const argv = [rig.lab.guest.path, `${SAMPLES}`];
  const client = rig.run('latency', ...argv);
  const [line = ''] = await client.prints(/^listen.*$/m, 300_000);
  say(line);
  await agent.stop();
}

/** @param isPlain without native calls */
async function cpu(rig: Rig, isPlain: boolean): Promise<void> {
  const agent = await rig.startAgent(isPlain);
  const how = isPlain ? '/proc/net/tcp' : 'sock_diag';
  const measure = async (what: string): Promise<void> => {
    await pause(2_000);
    const before = threadNs([agent.pid]);
    await pause(MEASURED_S * 1_000);
    const share = (threadNs([agent.pid]) - before) / 1e9 / MEASURED_S;
    say(`agent, ${how}, ${what}: ${(100 * share).toFixed(2)} % of a processor`);
  };
  await measure('nothing');
  const load = async (...args: readonly string[]): Promise<Running> => {
    const one = rig.lab.start(rig.lab.guest, [process.execPath, script('load'), ...args]);
    await one.prints(/ready/, 60_000);
    return one;
  };
  const servers = await load('listeners', `${LISTENERS}`);
  const clients = await load('clients', `${LISTENERS}`, `${CONNECTIONS}`);
  await measure(`${LISTENERS} listeners and ${CONNECTIONS} connections`);
  for (const livesMs of [10, 1_000]) {
    const binds = await load('binds', '100', `${livesMs}`);
    await measure(`the same and 100 binds a second that live for ${livesMs} ms`);
    await binds.stop();
  }
  await clients.stop();
  await servers.stop();
  await agent.stop();
}

async function throughput(rig: Rig): Promise<void> {
  const { host, guest } = rig.lab;
  host.ip('link add ss0 type veth peer name ss1', 'addr add 198.19.0.1/24 dev ss0');
  host.ip(`link set ss1 netns ${guest.name}`, 'link set ss0 up');
  guest.ip(`addr add ${SSH_GUEST}/24 dev ss1`, 'link set ss1 up');
  const agent = await rig.startAgent();
  const server = ['iperf3', '-s', '-B', '127.0.0.1', '-p', `${BULK_PORT}`, '--forceflush'];
  await rig.lab.start(guest, server).prints(/listening/);
  await startSsh(rig);
  const bulk = async (port: number, ...more: readonly string[]): Promise<number> => {
    const argv = ['iperf3', '-c', '127.0.0.1', '-p', `${port}`, '-t', '5', '-J', ...more];
    const client = rig.lab.start(host, argv);
    const [, bits = '0'] = await client
      .prints(/"sum_received":[^}]*"bits_per_second":\s*([\d.e+]+)/, 30_000)
      .catch((cause: unknown) => {
        throw new Error(`port ${port}: ${client.stdout.slice(-300)}`, { cause });
      });
    return Number(bits) / 1e9;
  };
  for (const [name, ...more] of [['to the guest'], ['to the host', '-R']]) {
    const own: number[] = [];
    const ssh: number[] = [];
    for (let round = 0; round < 3; round++) {
      own.push(await bulk(BULK_PORT, ...more));
      ssh.push(await bulk(SSH_PORT, ...more));
    }
    say(`${name}: ${middle(own)} Gbit/s, ssh -L ${middle(ssh)} Gbit/s (medians of 3)`);
  }
  await agent.stop();
}

const middle = (values: readonly number[]): string =>
  (values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0).toFixed(2);

async function startSsh(rig: Rig): Promise<void> {
  const { lab } = rig;
  const setup = `set -e; cd ${lab.dir}; chmod 755 .; ssh-keygen -q -N '' -t ed25519 -f hostkey; ssh-keygen -q -N '' -t ed25519 -f key; cp key.pub authorized; chmod 600 authorized`;
  await lab.start(lab.guest, ['sh', '-c', `${setup}; echo made`]).prints(/made/);
  const options = [
    `HostKey ${lab.path('hostkey')}`,
    `AuthorizedKeysFile ${lab.path('authorized')}`,
  ];
  const config = [...options, 'StrictModes no', 'PermitRootLogin yes', 'UsePAM no', 'PidFile none'];
  const sshd = `mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -p 22 -f /dev/null ${config.map((one) => `-o '${one.replace(' ', '=')}'`).join(' ')}`;
  const server = ['unshare', '--mount', 'sh', '-c', sshd];
  await lab.start(lab.guest, server).prints(/Server listening/);
  const client = [
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'ExitOnForwardFailure=yes',
  ];
  const flags = client.flatMap((one) => ['-o', one]);
  const lead = ['-N', '-L', `127.0.0.1:${SSH_PORT}:127.0.0.1:${BULK_PORT}`, `root@${SSH_GUEST}`];
  lab.start(lab.host, ['ssh', '-i', lab.path('key'), ...flags, ...lead]);
  await pause(3_000);
}

const rig = new Rig();
try {
  await rig.start();
  await pause(1_500);
  if (isWanted('latency')) await latency(rig);
  if (isWanted('cpu')) await cpu(rig, false);
  if (isWanted('cpu-plain')) await cpu(rig, true);
  if (isWanted('throughput')) await throughput(rig);
} finally {
  await rig.lab.close();
}
