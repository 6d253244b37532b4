import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { client, download, upload } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, HTTP_PORT, Lab } from './support/lab.ts';
import { type Background, residentBytes } from './support/processes.ts';
import { until, untilStable } from './support/until.ts';

const MIB = 1 << 20;
const MUX_PORT = 4099;
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
const PUBLISHED = 9100;
const REFUSED = 9200;
const FORWARDED = 9300;
const Mux = z.object({
  links: z.array(
    z.object({
      state: z.string(),
      peers: z.array(
        z.object({
          state: z.string(),
          dialect: z.string().nullable(),
          channels: z.number(),
          windowBytes: z.number(),
        }),
      ),
    }),
  ),
});
const HTTP_OVER_UNIX = `require('http').createServer((q, r) => r.end('Docker ' + q.url)).listen(process.argv[1], () => console.log('listening'))`;

/** curl's: its connection was reset, before or after it could send. */
const isReset = (status: number): boolean => status === 7 || status === 56;

systemSuite('agent', [...LAB, 'curl', 'nc'], function () {
  this.timeout(90_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;
  let agent: Background;
  let guestServers: Background;
  let hostSocket: string;
  const url = `http://127.0.0.1:${PUBLISHED}`;

  async function peer(): Promise<z.infer<typeof Mux>['links'][0]['peers'][0] | undefined> {
    return Mux.parse(JSON.parse(await daemon.request('/v1/mux'))).links[0]?.peers[0];
  }

  async function startAgent(): Promise<void> {
    const forward = `tcp:127.0.0.1:${FORWARDED}=tcp:127.0.0.1:${HTTP_PORT + 100}`;
    const args = ['--listen', `tcp:0.0.0.0:${MUX_PORT}`, '--forward-to-host', forward];
    agent = guest.start([process.execPath, AGENT, ...args]);
    await agent.prints(/agent ready/);
    await until('the multiplexer to be up', async () => (await peer())?.state === 'ready');
  }

  before(async () => {
    lab = await Lab.open();
    hostSocket = lab.path('docker-of-guest.sock');
    const guestSocket = lab.path('docker.sock');
    const target = `127.0.0.1:${HTTP_PORT}-${HTTP_PORT + 4}`;
    guest = await lab.addGuest();
    daemon = await lab.startDaemon([
      ...['--listen', guest.link, '--mux', `guest:${MUX_PORT}`, '--log-level', 'info'],
      ...['-p', `${PUBLISHED}-${PUBLISHED + 4}:${target}`, '-p', `${REFUSED}:127.0.0.1:1`],
      ...['-p', `${PUBLISHED}:127.0.0.1:${HTTP_PORT + 5}/udp`],
      ...['-p', `unix:${hostSocket}:${guestSocket}`],
      ...['--mux-allow', `tcp:127.0.0.1:${HTTP_PORT + 100}`],
    ]);
    await guest.lease();
    guestServers = await lab.startServers(guest, '127.0.0.1');
    const docker = guest.start([process.execPath, '-e', HTTP_OVER_UNIX, guestSocket]);
    await docker.prints(/listening/);
    await startAgent();
  });
  after(() => lab.close());
  afterEach(() => {
    assert.ok(daemon.isRunning, daemon.stderr);
    assert.ok(agent.isRunning, agent.stderr);
  });

  it("speaks hawser's dialect, through the virtual network", async () => {
    assert.equal((await peer())?.dialect, 'hawser');
  });

  it("curl from the host reaches a server on the guest's loopback", async () => {
    assert.equal(await lab.host.run('curl', '-sS', '-m', '5', url), 'hello from the host\n');
  });

  it("the guest's docker.sock answers on the host", async () => {
    const curl = ['curl', '-sS', '-m', '5', '--unix-socket', hostSocket];
    assert.equal(await lab.host.run(...curl, 'http://docker/version'), 'Docker /version');
  });

  it('datagrams there and back, up to the largest', async () => {
    for (const size of ['1', '1500', '65000']) {
      const answer = await client(lab.host, 'udp', '127.0.0.1', String(PUBLISHED), size);
      assert.deepEqual(answer, { equal: true });
    }
  });

  it('a refused target resets the client, and the log says why', async () => {
    const { status } = await lab.host.try('curl', '-sS', '-m', '5', `http://127.0.0.1:${REFUSED}`);
    assert.ok(isReset(status), String(status));
    await until('the log', () => /refused/.test(daemon.stderr + daemon.stdout));
  });

  it('64 MiB each way arrive whole', async () => {
    await download(lab.host, url, 64 * MIB);
    await upload(lab.host, url, 64 * MIB);
  });

  it('64 MiB to a client that reads slowly', async () => {
    const path = lab.path('slow');
    const get = ['curl', '-sS', '--limit-rate', '24M', '-o', path];
    await lab.host.run(...get, `${url}/bytes/${64 * MIB}?seed=5`);
    const sum = createHash('sha256').update(readFileSync(path)).digest('hex');
    assert.equal(sum, seededSha256(5, 64 * MIB));
  });

  it('a server that does not read stops the client, within its window; then all arrives', async () => {
    const before = daemon.residentBytes;
    const zeros = `head -c ${64 * MIB} /dev/zero | nc -N 127.0.0.1 ${PUBLISHED + 2}`;
    const sender = lab.host.start(['sh', '-c', zeros]);
    await until('the channel', async () => ((await peer())?.channels ?? 0) > 0);
    await untilStable('memory', () => Math.round(daemon.residentBytes / MIB), 1);
    assert.equal(sender.stdout, '');
    assert.ok(daemon.residentBytes - before < 16 * MIB, 'bytes pile up');
    guestServers.kill('SIGUSR1');
    const sum = createHash('sha256')
      .update(Buffer.alloc(64 * MIB))
      .digest('hex');
    await sender.prints(new RegExp(`bytes=${64 * MIB} sha256=${sum}`));
  });

  it('1,000 channels at once', async () => {
    const before = (await peer())?.channels; // those of UDP clients stay for a while
    const said = await client(lab.host, 'many', url, '1000', '20000');
    assert.deepEqual(said, { good: 1000, bad: 0, errors: {} });
    await until('the channels to go', async () => (await peer())?.channels === before);
    assert.ok(((await peer())?.windowBytes ?? 0) < MIB);
  });

  it('forwards to the host what the host allows', async () => {
    const server = fileURLToPath(new URL('./support/server-main.js', import.meta.url));
    const args = [process.execPath, server, '127.0.0.1', String(HTTP_PORT + 100)];
    await lab.host.start(args).prints(/serving/);
    const text = await guest.run('curl', '-sS', '-m', '5', `http://127.0.0.1:${FORWARDED}/`);
    assert.equal(text, 'hello from the host\n');
  });

  it('takes no multiplexer from anybody but the gateway', async () => {
    const { stdout } = await guest.try('nc', '-w', '2', '127.0.0.1', String(MUX_PORT));
    assert.equal(stdout, '');
    await agent.prints(/peer refused/);
  });

  it('an agent that is killed in mid-transfer: the client is reset; the next one serves', async () => {
    const file = lab.path('download');
    const slow = ['curl', '-sS', '--limit-rate', '4M', '-o', file];
    const running = lab.host.start([...slow, `${url}/bytes/${64 * MIB}?seed=1`]);
    await until('the transfer', () => existsSync(file) && statSync(file).size > MIB);
    await agent.stop('SIGKILL');
    assert.equal(await running.exited, 56, running.stderr);
    const { status } = await lab.host.try('curl', '-sS', '-m', '5', url);
    assert.ok(isReset(status), `without an agent clients are reset: ${status}`);
    await startAgent();
    await download(lab.host, url, 4 * MIB);
  });

  it('the agent stays small', () => {
    assert.ok(residentBytes(agent.pid) < 120 * MIB);
  });
});
