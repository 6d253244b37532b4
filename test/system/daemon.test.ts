import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import { download } from './support/clients.ts';
import { type Guest, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const MIB = 1 << 20;
const lines = (text: string): number => text.split('\n').length - 1;

systemSuite('the daemon', [...LAB, 'curl', 'gcc', 'nc', 'ping'], function () {
  this.timeout(30_000);
  let lab: Lab;
  let socket = '';
  beforeEach(async () => {
    lab = await Lab.open();
    socket = lab.path('qemu.sock');
  });
  afterEach(() => lab.close());

  it('readiness names links and API, when both accept', async () => {
    const daemon = await lab.startDaemon(['--listen', `qemu:${socket}`]);
    const ready = await daemon.ready();
    assert.deepEqual(ready.links, [`qemu:${socket}`]);
    assert.match(ready.api, /^unix:.*\/hawser\/default\/api\.sock$/);
    assert.ok(statSync(socket).isSocket());
    assert.equal(statSync(ready.api.slice('unix:'.length)).mode & 0o777, 0o600);
    assert.match(await daemon.request('/v1/health'), /"status":"ok"/);
    assert.match(await daemon.request('/metrics'), /^# HELP /m);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal}: status 0; sockets and pid file are gone, flows or not`, async () => {
      const pidFile = lab.path('pid');
      const guest: Guest = await lab.addGuest({ bridgeTo: socket });
      await lab.startServers(lab.host);
      const args = ['--listen', `qemu:${socket}`, '--pid-file', pidFile];
      const daemon = await lab.startDaemon(args);
      const { pid, api } = await daemon.ready();
      assert.equal(Number(readFileSync(pidFile, 'utf8')), pid);
      await guest.plug();
      await guest.lease();
      const url = `http://${HOST}:${HTTP_PORT}/bytes/1000000000`;
      guest.start(['curl', '-sS', '-o', '/dev/null', url]);
      await until('the download to run', async () => await daemon.flowTo(HTTP_PORT));
      process.kill(pid, signal);
      assert.equal(await daemon.exited, 0, daemon.stderr);
      for (const path of [socket, pidFile, api.slice('unix:'.length)]) {
        assert.ok(!existsSync(path), `${path} is left`);
      }
    });
  }

  it('bad usage: status 2; the message names the option, the value and what is allowed', async () => {
    const daemon = lab.spawnDaemon(['--mtu', '99']);
    assert.equal(await daemon.exited, 2);
    assert.match(daemon.stderr, /--mtu.*99.*576/);
    await assert.rejects(daemon.ready());
  });

  it('an unknown key of the YAML file: status 2; the message names it', async () => {
    const file = lab.path('config.yaml');
    writeFileSync(file, 'subnot: 10.0.0.0/24\n');
    const daemon = lab.spawnDaemon(['--config', file]);
    assert.equal(await daemon.exited, 2);
    assert.match(daemon.stderr, /subnot/);
  });

  it('a live socket is refused: status 1; the first daemon goes on', async () => {
    const first = await lab.startDaemon(['--listen', `qemu:${socket}`]);
    const second = lab.spawnDaemon(['--name', 'second', '--listen', `qemu:${socket}`]);
    assert.equal(await second.exited, 1);
    assert.match(second.stderr, new RegExp(socket));
    assert.ok(existsSync(socket));
    assert.match(await first.request('/v1/health'), /"status":"ok"/);
  });

  it('stale sockets and pid file of a killed daemon are taken over', async () => {
    const args = ['--listen', `qemu:${socket}`, '--pid-file', lab.path('pid')];
    const first = await lab.startDaemon(args);
    await first.stop('SIGKILL');
    assert.ok(existsSync(socket));
    const second = await lab.startDaemon(args);
    assert.match(await second.request('/v1/health'), /"status":"ok"/);
  });

  it('--exit-with-guest: status 0 when the last guest has left', async () => {
    const daemon = await lab.startDaemon(['--listen', `qemu:${socket}`, '--exit-with-guest']);
    const guest = await lab.addGuest({ bridgeTo: socket });
    const bridge = await guest.plug();
    await guest.lease();
    await bridge?.stop('SIGKILL');
    assert.equal(await daemon.exited, 0, daemon.stderr);
  });

  it('a port that is taken cannot be published: status 1; the message names it', async () => {
    const holder = lab.host.start(['nc', '-lk', '127.0.0.1', '8099']);
    await until('nc to listen', async () =>
      (await lab.host.run('ss', '-Hltn', 'sport = :8099')).includes('LISTEN'),
    );
    const daemon = lab.spawnDaemon(['--listen', `qemu:${socket}`, '-p', '8099:80']);
    assert.equal(await daemon.exited, 1);
    assert.match(daemon.stderr, /8099/);
    assert.ok(holder.isRunning);
  });

  it('the most talkative log says nothing about single packets', async () => {
    const log = ['--log-level', 'debug', '--log-format', 'json'];
    const { daemon, guest } = await lab.standard(log);
    const server = `http://${HOST}:${HTTP_PORT}`;
    await download(guest, server, MIB);
    const before = lines(daemon.stderr);
    await download(guest, server, 64 * MIB);
    await guest.run('ping', '-c', '50', '-i', '0.01', HOST);
    assert.ok(before > 0, 'something is said at the start');
    assert.ok(lines(daemon.stderr) - before < 20, daemon.stderr.slice(-2000));
  });
});
