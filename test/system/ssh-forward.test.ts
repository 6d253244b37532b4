/** Forwards of Unix sockets by the SSH server of a guest: OpenSSH in a real kernel, late, restarted, and paused. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { SeededStream, seededSha256 } from '../../src/lab/seeded-stream.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { type KeyKind, PASSPHRASE, SshGuest } from './support/ssh-guest.ts';
import { until } from './support/until.ts';

const BULK = 100 * 1000 * 1000;
const SEED = 11;
const ADDRESS = '192.168.127.2';
const CLIENTS = 20;
/** Podman's patience for an answer. */
const ANSWER_S = 20;
const SHORT_PAUSE_MS = 10_000;
/** More than keepalive allows. */
const LONG_PAUSE_MS = 60_000;

systemSuite('SSH forwards', [...LAB, 'curl', 'sshd', 'ssh-keygen', 'gcc'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let ssh: SshGuest;
  let daemon: Daemon;
  let bridge: Background;
  let service: Background;

  const host = (name: string): string => lab.path(`host-${name}.sock`);
  const forward = (name: string, key: string, path: string, more = ''): readonly string[] => [
    '-p',
    `unix:${host(name)}:ssh-tunnel://root@${ADDRESS}${path}?key=${key}${more}`,
  ];
  const ping = (seconds = ANSWER_S, name = 'http'): Promise<string> =>
    lab.host.run(
      ...['curl', '-sS', '-m', String(seconds), '--unix-socket', host(name), 'http://d/_ping'],
    );
  const counted = async (name: string): Promise<number> => {
    const text = await daemon.request('/metrics');
    return Number(new RegExp(`group="ssh",name="${name}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
  };

  const allAnswered = async (pings: readonly Promise<string>[]): Promise<void> => {
    try {
      assert.deepEqual([...new Set(await Promise.all(pings))], ['OK']);
    } catch (cause) {
      const lines = (await daemon.request('/metrics')).split('\n');
      const counts = lines.filter((line) => line.includes('group="ssh"')).join('\n');
      throw new Error(`${cause instanceof Error ? cause.message : ''}\n${counts}`, { cause });
    }
  };

  before(async () => {
    lab = await Lab.open();
    const link = lab.path('qemu.sock');
    guest = await lab.addGuest({ bridgeTo: link });
    ssh = new SshGuest(lab, guest);
    const key = await ssh.makeKey('ed25519');
    const strange = await ssh.makeStrangeKey('ed25519', 'strange');
    writeFileSync(lab.path('stale'), '');
    const kinds: readonly KeyKind[] = ['ecdsa', 'rsa', 'rsa-pem'];
    const others = [];
    for (const kind of kinds)
      others.push(...forward(kind, await ssh.makeKey(kind), ssh.httpSocket));
    const encrypted = await ssh.makeKey('ed25519-passphrase');
    const passphrase = `&passphrase=${encodeURIComponent(PASSPHRASE)}`;
    await leaveSocket(host('http'));
    daemon = await lab.startDaemon([
      ...['--listen', `qemu:${link}`],
      ...forward('http', key, ssh.httpSocket),
      ...forward('raw', key, ssh.rawSocket),
      ...forward('nobody', key, lab.path('nobody.sock')),
      ...forward('strange', strange, ssh.httpSocket),
      ...forward('encrypted', encrypted, ssh.httpSocket, passphrase),
      ...others,
    ]);
    bridge = (await guest.plug()) ?? assert.fail('no bridge');
    await guest.lease();
    service = await ssh.startService();
  });
  after(async () => {
    await ssh.stopServer();
    await lab.close();
  });
  afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

  it('the socket is there before the guest is, for this user alone, in the place of a stale one', () => {
    const { mode } = statSync(host('http'));
    assert.equal(mode & 0o777, 0o600);
  });

  it('a client waits for a server that is late', async () => {
    const waiting = ping(60);
    await until('attempts in vain', async () => (await counted('connect-failed')) >= 3);
    await ssh.startServer();
    assert.equal(await waiting, 'OK');
  });

  for (const name of ['ecdsa', 'rsa', 'rsa-pem', 'encrypted']) {
    it(`a key: ${name}`, async () => assert.equal(await ping(ANSWER_S, name), 'OK'));
  }

  it('100 MB each way, sums equal, while keys change', async () => {
    const url = `http://d/bytes/${BULK}`;
    const fetch = `curl -sS --unix-socket ${host('http')} ${url} | sha256sum`;
    assert.equal((await lab.host.run('sh', '-c', fetch)).slice(0, 64), seededSha256(SEED, BULK));
    const file = lab.path('bulk');
    const stream = new SeededStream(SEED, BULK);
    writeFileSync(file, '');
    for (let chunk = stream.next(); chunk !== undefined; chunk = stream.next()) {
      writeFileSync(file, chunk, { flag: 'a' });
    }
    const args = ['-sS', '-T', file, '--unix-socket', host('http'), 'http://d/sink'];
    assert.equal(await lab.host.run('curl', ...args), seededSha256(SEED, BULK));
  });

  it('a client that ends its side still receives the answer', async () => {
    assert.equal(await halfClose(host('raw'), 'from stdin'), sha256('from stdin'));
    assert.equal(await halfClose(host('raw'), ''), sha256(''));
  });

  it('is a flow of its port, by ssh', async () => {
    const client = connect(host('raw'));
    client.write('x');
    const flow = await until('its flow', async () => {
      const { flows } = JSON.parse(await daemon.request('/v1/flows'));
      return flows.find(
        (one: { via: string; state: string }) => one.via === 'ssh' && one.state === 'active',
      );
    });
    assert.equal(flow.protocol, 'unix');
    assert.equal(flow.guestAddress, ADDRESS);
    assert.equal(flow.guestPath, ssh.rawSocket);
    const { ports } = JSON.parse(await daemon.request('/v1/ports'));
    const port = ports.find(({ id }: { id: string }) => id === flow.publication);
    assert.equal(port.hostPath, host('raw'));
    assert.equal(port.via, 'ssh');
    client.destroy();
    await until(
      'its end',
      async () => !(await daemon.request('/v1/flows')).includes(ssh.rawSocket),
    );
  });

  it('a socket that nobody serves in the guest, a key that is not accepted: the client is ended', async () => {
    await assert.rejects(ping(ANSWER_S, 'nobody'), /status 52|status 56/);
    await assert.rejects(ping(60, 'strange'), /status 52|status 56/);
    assert.ok((await counted('client-refused')) >= 1);
    assert.ok((await counted('client-denied')) >= 1);
    assert.match(daemon.stderr, /login was denied/);
    assert.equal(await ping(), 'OK');
  });

  it('after a restart of the server it logs in again', async () => {
    const before = await counted('connected');
    await ssh.stopServer();
    const waiting = ping();
    await ssh.startServer();
    assert.equal(await waiting, 'OK');
    assert.ok((await counted('connected')) > before);
  });

  const pause = async (pauseMs: number): Promise<void> => {
    await ping();
    bridge.kill('SIGSTOP');
    service.kill('SIGSTOP');
    await ssh.signal('SIGSTOP');
    const began = performance.now();
    await until('the pause to be over', () => performance.now() - began > pauseMs, pauseMs + 5_000);
    bridge.kill('SIGCONT');
    service.kill('SIGCONT');
    await ssh.signal('SIGCONT');
  };

  for (const pauseMs of [SHORT_PAUSE_MS, LONG_PAUSE_MS]) {
    it(`a guest that was paused for ${pauseMs / 1_000} s answers ${CLIENTS} clients at once within ${ANSWER_S} s`, async function () {
      this.timeout(pauseMs + 60_000);
      await pause(pauseMs);
      const began = performance.now();
      await allAnswered(Array.from({ length: CLIENTS }, () => ping()));
      const tookMs = performance.now() - began;
      assert.ok(tookMs < ANSWER_S * 1_000, `${tookMs} ms`);
    });
  }

  it('clients that came during a pause are answered after it', async function () {
    this.timeout(60_000);
    await ping();
    bridge.kill('SIGSTOP');
    const waiting = Array.from({ length: CLIENTS }, () => ping(60));
    const retired = await counted('retired');
    await until('the connection to be given up', async () => (await counted('retired')) > retired);
    bridge.kill('SIGCONT');
    await allAnswered(waiting);
  });

  it('sockets go with the daemon', async () => {
    await daemon.stop('SIGTERM');
    assert.ok(!existsSync(host('http')));
    daemon = await lab.startDaemon([]);
  });
});

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Send `text`, end, and read to the end. */
async function halfClose(path: string, text: string): Promise<string> {
  const client = connect({ path, allowHalfOpen: true });
  client.end(text);
  let answer = '';
  for await (const chunk of client) answer += chunk;
  return answer;
}

/** A socket that its process has left behind. */
async function leaveSocket(path: string): Promise<void> {
  const { spawnSync } = await import('node:child_process');
  const script = `require('net').createServer().listen('${path}', () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  assert.ok(existsSync(path));
}
