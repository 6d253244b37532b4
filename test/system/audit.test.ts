/** The audit log of a daemon in its sandbox, and what guests read of their denials: real kernels, a file system that fills up. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kill } from 'node:process';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY, type Guest, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { succeed } from './support/processes.ts';
import { until } from './support/until.ts';

const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const DENIED_MS = 100;
const LINE = z.looseObject({
  at: z.iso.datetime(),
  type: z.string(),
  kind: z.string().optional(),
  flow: z.looseObject({ remotePort: z.number().nullable() }).optional(),
  verdict: z.looseObject({ remotePort: z.number() }).optional(),
  block: z
    .looseObject({ why: z.string(), protocol: z.string(), name: z.string().nullable() })
    .optional(),
});

systemSuite('audit log', [...LAB, 'curl', 'dig'], function () {
  this.timeout(60_000);

  let lab: Lab;
  let guest: Guest;
  let other: Guest;
  let daemon: Daemon;
  let dir: string;
  let file: string;

  before(async () => {
    lab = await Lab.open();
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    file = join(dir, 'audit.log');
    await succeed(['mount', '-t', 'tmpfs', '-o', 'size=256k,mode=700', 'none', dir]);
    guest = await lab.addGuest();
    other = await lab.addGuest();
    await lab.startServers(lab.host);
    daemon = await lab.startDaemon([
      ...['--listen', guest.link, '--listen', other.link, '--guest-api', 'on'],
      ...['--allow', `host:${HTTP_PORT}`, '--allow', 'gateway', '--sandbox', 'on'],
      ...['--audit-log', file, '--audit', 'required'],
    ]);
    await guest.lease();
    await other.lease();
  });
  after(async () => {
    await lab.close();
    await succeed(['umount', dir]);
    rmSync(dir, { recursive: true });
  });

  const lines = (path = file) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => LINE.parse(JSON.parse(line)));
  const kinds = (): string[] => lines().map(({ type, kind }) => `${type} ${kind}`);
  const curl = async (by: Guest, url: string): Promise<string> => {
    const options = ['-sS', '-o', '/dev/null', '-m', '5', '-w', '%{time_total}'];
    const { status, stdout } = await by.try('curl', ...options, url);
    if (status === 0) return '0';
    return `${status} ${Number(stdout) * 1_000 <= DENIED_MS ? 'soon' : 'late'}`;
  };
  const open = (): Promise<string> => curl(guest, `http://${HOST}:${HTTP_PORT}/`);
  const hawser = (...args: readonly string[]): Promise<string> =>
    lab.host.run(...['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN, ...args]);
  const fill = (): void => {
    try {
      for (;;) appendFileSync(`${dir}/fill`, Buffer.alloc(4096));
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'ENOSPC');
    }
  };

  it('has guests, leases, verdicts and flows, in the sandbox, for its user alone', async () => {
    assert.equal(await open(), '0');
    await until('the end of the flow', async () => kinds().includes('flow ended'));
    const all = kinds();
    for (const kind of ['guest attached', 'lease granted', 'verdict allowed', 'flow opened']) {
      assert.ok(all.includes(kind), `${kind} of ${all}`);
    }
    const found = lines();
    const verdict = found.findIndex(({ verdict: of }) => of?.remotePort === HTTP_PORT);
    assert.ok(verdict >= 0);
    assert.ok(verdict < found.findIndex(({ flow }) => flow?.remotePort === HTTP_PORT));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.match(await hawser('status'), /sandbox +on/i);
  });

  it('each guest reads its own denials, with why, and its names carry no escape', async () => {
    for (const name of ['\\027[31m<b>.evil.test', 'plain.evil.test']) {
      await guest.try('dig', `@${GATEWAY}`, '+tries=1', name);
    }
    assert.equal(await curl(guest, `http://${HOST}:81/`), '7 soon');
    const neighbor = (await other.run('ip', '-4', '-br', 'addr', 'show', 'eth0')).split(/[ /]+/)[2];
    assert.notEqual((await guest.try('ping', '-c', '1', '-W', '1', neighbor ?? '')).status, 0);
    const mine = await guest.run('curl', '-sS', `http://${GATEWAY}/v1/denials`);
    assert.match(
      mine,
      new RegExp(
        `"protocol":"ip","name":null,"address":"${neighbor}","port":0,"why":"default: deny"`,
      ),
    );
    assert.match(mine, /"protocol":"tcp".*"port":81,"why":"default: deny"/);
    assert.match(mine, /"protocol":"dns","name":"plain\.evil\.test"/);
    const its = await other.run('curl', '-sS', `http://${GATEWAY}/v1/denials`);
    assert.deepEqual(JSON.parse(its), { denials: [] });
    await until('the denial of the other guest', async () =>
      lines().some(({ block }) => block?.protocol === 'ip'),
    );
    await until('the denial', async () =>
      lines().some(({ block }) => block?.name?.includes('evil')),
    );
    assert.doesNotMatch(readFileSync(file, 'utf8'), /[^\n\x20-\x7e]|<b>/);
    const shown = await hawser('events', '--types', 'guest,lease,port');
    assert.match(shown, /guest attached/);
  });

  it('a full disk: no new flow, at once and told; space: they begin again, no line is torn', async () => {
    const before = lines().length;
    fill();
    // What is left of the last page of the file takes some records.
    await until('the disk to be full', async () => (await open()) !== '0');
    assert.equal(await open(), '7 soon');
    assert.match(
      await hawser('status'),
      /audit log cannot be written \(ENOSPC\): new flows are refused/,
    );
    assert.match(
      await other.run('curl', '-sS', '-m', '5', `http://${GATEWAY}/v1/denials`).catch(String),
      /status 7|Failed|refused|prohibited|exit/i,
      'the guest API is a flow as well',
    );
    rmSync(`${dir}/fill`);
    await until('flows to begin', async () => (await open()) === '0');
    assert.doesNotMatch(await hawser('status'), /audit log cannot be written/);
    const blocked = lines()
      .slice(before)
      .filter(({ block }) => block?.why === 'audit');
    assert.ok(blocked.length > 0, 'what was refused is told afterwards');
    assert.match(
      await guest.run('curl', '-sS', `http://${GATEWAY}/v1/denials`),
      /audit: the audit log cannot have a record of it/,
    );
  });

  it('SIGHUP opens the file anew, as another program that rotates needs', async () => {
    renameSync(file, `${file}.old`);
    kill((await daemon.ready()).pid, 'SIGHUP');
    await until('the file', async () => existsSync(file));
    assert.equal(await open(), '0');
    await until('a line', async () => kinds().includes('flow ended'));
    assert.ok(lines(`${file}.old`).length > 0);
  });

  it('followed events come to the command as they happen, and to curl that resumes', async () => {
    const following = lab.host.start([
      ...['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN],
      ...['events', '--follow', '--json', '--types', 'flow'],
    ]);
    await until('a reader', async () => {
      await open();
      return following.stdout.includes('"ended"');
    });
    await following.stop();
    const [first = ''] = following.stdout.split('\n');
    const { id } = JSON.parse(first);
    const resumed = await lab.host
      .run(
        ...['curl', '-sN', '-m', '1', '--unix-socket', lab.path('hawser/default/api.sock')],
        ...['-H', `Last-Event-ID: ${id}`, 'http://localhost/v1/events?types=flow'],
      )
      .catch((error: unknown) => String(error));
    assert.match(resumed, /"kind":"ended"/);
    assert.doesNotMatch(resumed, /event: gap/);
    assert.doesNotMatch(resumed, new RegExp(`^id: ${id}$`, 'm'));
  });

  it('is rotated in the sandbox, for its user alone, and no line is lost', async () => {
    const third = await lab.addGuest();
    const rotated = lab.path('rotated.log');
    const rotating = await lab.startDaemon([
      ...['--name', 'rotating', '--listen', third.link, '--sandbox', 'on'],
      ...['--deny', `host:81`, '--audit-log', rotated, '--audit-size', '1'],
    ]);
    await third.lease();
    const denied = 6_000;
    const connect = `for i in {1..${denied}}; do true 3<>/dev/tcp/${HOST}/81; done 2>/dev/null`;
    await third.try('bash', '-c', connect);
    const blocks = (): number =>
      [`${rotated}.2`, `${rotated}.1`, rotated]
        .filter((path) => existsSync(path))
        .flatMap((path) => lines(path))
        .filter(({ block }) => block?.why === 'policy').length;
    await until('every line', () => blocks() >= denied); // more where an error was not sent, for their rate
    assert.ok(existsSync(`${rotated}.1`));
    assert.equal(statSync(rotated).mode & 0o777, 0o600);
    assert.doesNotMatch(await hawser('status', '--name', 'rotating'), /audit log has lost/);
    await rotating.stop('SIGTERM');
  });

  it('a daemon whose audit log cannot be opened does not start', async () => {
    writeFileSync(lab.path('plain'), '');
    const failed = lab.spawnDaemon([
      ...['--name', 'failing', '--audit-log', `${lab.path('plain')}/audit.log`],
    ]);
    assert.equal(await failed.exited, 1);
    assert.match(failed.stderr, /cannot open the audit log .*ENOTDIR/);
  });
});
