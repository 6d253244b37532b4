import assert from 'node:assert/strict';
import { z } from 'zod';
import { LAB, systemSuite } from '../support/requirements.ts';
import { agentArgv, client, download } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { type Background, cpuMs } from './support/processes.ts';
import { until, untilStable } from './support/until.ts';

const MIB = 1 << 20;
const STALLED = HTTP_PORT + 2;
/** What one stalled flow may cost: its rings, twice their bound, and the noise of a heap. */
const STALL_BYTES = 64 * MIB;
const Scan = z.object({
  open: z.array(z.number()),
  refused: z.number(),
  other: z.record(z.string(), z.number()),
});

systemSuite('stalls and scans', [...LAB, 'curl', 'nc'], function () {
  this.timeout(120_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;
  let servers: Background;
  const server = `http://${HOST}:${HTTP_PORT}`;

  beforeEach(async () => {
    lab = await Lab.open();
    guest = await lab.addGuest();
    servers = await lab.startServers(lab.host);
    daemon = await lab.startDaemon(['--listen', guest.link]);
    await guest.lease();
    await download(guest, server, 8 * MIB); // so that memory is at its working size
  });
  afterEach(() => lab.close());

  const bytesOf = async (port: number, direction: 'bytesToHost' | 'bytesToGuest') =>
    (await daemon.flowTo(port))?.[direction] ?? 0;

  it('a server that never reads stops the upload; memory is bounded; others go on; it resumes', async () => {
    const before = daemon.residentBytes;
    const size = 128 * MIB;
    const argv = ['sh', '-c', `head -c ${size} /dev/zero | nc -N ${HOST} ${STALLED}`];
    const sender = guest.start(argv);
    await untilStable('the upload', () => bytesOf(STALLED, 'bytesToHost'), 1);
    const grown = daemon.residentBytes - before;
    assert.ok(grown < STALL_BYTES, `grew by ${Math.round(grown / MIB)} MiB`);
    const state = await guest.run('ss', '-Htn', `dport = :${STALLED}`);
    assert.match(state, /^ESTAB /, 'the connection stands, its window closed');
    await download(guest, server, 4 * MIB);
    servers.kill('SIGUSR1');
    assert.equal(await sender.exited, 0);
    assert.match(sender.stdout, new RegExp(`^bytes=${size} sha256=`));
  });

  it('a guest that stops reading stops the download; memory is bounded; it resumes', async () => {
    const before = daemon.residentBytes;
    const size = 128 * MIB;
    const reader = guest.start([...agentArgv('download', `${server}/bytes/${size}?seed=3`)]);
    await reader.prints(/progress/);
    reader.kill('SIGSTOP');
    await untilStable('the download', () => bytesOf(HTTP_PORT, 'bytesToGuest'), 1);
    const grown = daemon.residentBytes - before;
    assert.ok(grown < STALL_BYTES, `grew by ${Math.round(grown / MIB)} MiB`);
    assert.ok((await bytesOf(HTTP_PORT, 'bytesToGuest')) < size, 'it was stopped midway');
    const text = await guest.run('curl', '-sS', '-m', '5', `${server}/`);
    assert.equal(text, 'hello from the host\n');
    reader.kill('SIGCONT');
    assert.equal(await reader.exited, 0);
    assert.match(reader.stdout, new RegExp(`"done":{"bytes":${size}`));
  });

  it('a slow reader at the host gets every byte', async () => {
    // The server's process sleeps and wakes: its window opens and closes many times.
    const size = 256 * MIB; // more than a fast machine moves before it is stopped first
    const sender = guest.start(agentArgv('upload', `${server}/sink`, '3', String(size)));
    await sender.prints(/progress/);
    for (let i = 0; i < 5; i++) {
      servers.kill('SIGSTOP');
      await untilStable('the upload', () => bytesOf(HTTP_PORT, 'bytesToHost'), 0);
      servers.kill('SIGCONT');
    }
    assert.equal(await sender.exited, 0, sender.stdout);
    assert.match(sender.stdout, new RegExp(`"done":{"bytes":${size}`));
  });

  it('a scan of all 65,535 ports leaves service as it was', async () => {
    const before = daemon.residentBytes;
    const { open, refused, other } = Scan.parse(await client(guest, 'scan', HOST));
    assert.deepEqual(other, {});
    assert.ok(open.includes(HTTP_PORT));
    assert.equal(refused + open.length, 65_535);
    await download(guest, server, 8 * MIB);
    const grown = daemon.residentBytes - before;
    assert.ok(grown < STALL_BYTES, `grew by ${Math.round(grown / MIB)} MiB`);
  });

  it('300 connects to a black hole hold up no connect to a live server', async () => {
    const hole = '198.18.0.66'; // of the outer network, with nobody behind its address
    await lab.host.run('ip', 'neigh', 'add', hole, 'lladdr', '02:00:00:00:00:66', 'dev', 'up0');
    const script = `for (let i = 0; i < 300; i++) require('net').connect(80, '${hole}').on('error', () => {})`;
    const lost = guest.start([process.execPath, '-e', script]);
    await until('the connects to be under way', async () => {
      const waiting = await guest.run('ss', '-Htn', 'state', 'syn-sent', `dst ${hole}`);
      return waiting.trim().split('\n').length === 300;
    });
    for (let i = 0; i < 20; i++) {
      const text = await guest.run('curl', '-sS', '-m', '1', `${server}/`);
      assert.equal(text, 'hello from the host\n');
    }
    await download(guest, server, 8 * MIB);
    assert.ok(lost.isRunning);
  });

  it('a daemon that was asleep goes on, and rests afterwards', async () => {
    const held = guest.start(agentArgv('download', `${server}/bytes/${512 * MIB}?seed=3`));
    await held.prints(/progress/);
    daemon.kill('SIGSTOP');
    // The guest gives up on acknowledgements: its retransmissions back off while nobody answers.
    await until('the guest to ask again', async () => {
      const sockets = await guest.run('ss', '-Htni', `dport = :${HTTP_PORT}`);
      return /lastrcv:([5-9]\d{3}|\d{5,})/.test(sockets);
    });
    daemon.kill('SIGCONT');
    assert.equal(await held.exited, 0, held.stdout);
    assert.match(held.stdout, new RegExp(`"done":{"bytes":${512 * MIB}`));
    // After such a rush its heap is collected once, which by itself is a tenth of a second.
    await until('the daemon to rest', async () => {
      const begin = performance.now();
      const used = cpuMs(daemon.pid);
      await untilStable('the daemon', () => 0, 0); // nearly a second
      return (cpuMs(daemon.pid) - used) / (performance.now() - begin) < 0.1;
    });
  });
});
