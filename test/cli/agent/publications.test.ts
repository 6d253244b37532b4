import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Publications } from '../../../src/cli/agent/publications.ts';
import { portKey, type WantedPort } from '../../../src/cli/agent/wanted-port.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { FakeHost } from './fake-host.ts';
import { turns } from './pair.ts';

const TIMES = { firstRetryMs: 2, lastRetryMs: 10, lookMs: 2, answerMs: 1_000, calmMs: 200 };

const port = (hostPort: number, guestAddress = '127.0.0.1'): WantedPort => ({
  protocol: 'tcp',
  hostAddress: '127.0.0.1',
  hostPort,
  guestAddress,
  guestPort: hostPort,
});
const set = (...ports: readonly WantedPort[]): Map<string, WantedPort> =>
  new Map(ports.map((one) => [portKey(one), one]));
const text = (number: number): string => `127.0.0.1:${number}:127.0.0.1:${number}/tcp`;

describe('agent: what it wants on the host', () => {
  let dir: string;
  let host: FakeHost;
  let log: RecordingLog;
  let publications: Publications;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-publications-'));
    host = new FakeHost(join(dir, 'api.sock'));
    await host.start();
    log = new RecordingLog();
    publications = new Publications({ log, source: 'a test', connect: host.connect, times: TIMES });
  });
  afterEach(async () => {
    publications.close();
    await host.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const published = (what: string, ...numbers: readonly number[]): Promise<void> =>
    turns(what, () => host.ports.join() === numbers.map(text).join());

  it('sends the whole set, then what changes, on one connection', async () => {
    publications.reconcile(set(port(1), port(2)));
    await published('two', 1, 2);
    publications.reconcile(set(port(2), port(3)), 7);
    await published('the next', 2, 3);
    publications.reconcile(set(port(2), port(3)), 8);
    await turns('how many are left out', () => host.leftOut === 8);
    publications.reconcile(set());
    await published('none');
    assert.deepEqual([host.connections, host.leftOut], [1, 0]);
    assert.deepEqual(host.methods, ['PUT', 'PATCH', 'PATCH', 'PUT']);
  });

  it('what it is given may change until it is given again', async () => {
    const live = set(port(1), port(2), port(3));
    publications.reconcile(live);
    await published('three', 1, 2, 3);
    live.delete(portKey(port(2)));
    live.set(portKey(port(4)), port(4));
    publications.reconcile(live);
    await published('the next', 1, 3, 4);
    assert.deepEqual(host.methods, ['PUT', 'PATCH']);
  });

  it('what it is told of is looked at alone, and all of it where the connection was another', async () => {
    const live = set(port(1), port(2));
    publications.reconcile(live, 0, live.keys());
    await published('two', 1, 2);
    live.set(portKey(port(3)), port(3));
    live.set(portKey(port(4)), port(4));
    live.delete(portKey(port(1)));
    publications.reconcile(live, 0, [portKey(port(3)), portKey(port(1))]);
    await published('the third', 2, 3);
    let open = (): void => {};
    host.gate = new Promise((resolve) => {
      open = resolve;
    });
    live.delete(portKey(port(3)));
    publications.reconcile(live, 0, [portKey(port(3))]);
    live.set(portKey(port(5)), port(5));
    publications.reconcile(live, 0, [portKey(port(5))]);
    open();
    await published('what changed meanwhile', 2, 5);
    host.drop();
    await published('all', 2, 4, 5);
  });

  it('sends nothing where nothing has changed, and opens no connection for nothing', async () => {
    publications.reconcile(set());
    publications.reconcile(set(port(1)));
    await published('one', 1);
    publications.reconcile(set(port(1)));
    publications.reconcile(set(port(1), port(2)));
    await published('two', 1, 2);
    assert.equal(host.sets.length, 2);
  });

  it('what changes while the host has not answered is sent once, as it is then', async () => {
    let open = (): void => {};
    host.gate = new Promise((resolve) => {
      open = resolve;
    });
    publications.reconcile(set(port(1)));
    await turns('the connection', () => host.connections === 1);
    for (let i = 2; i < 20; i++) publications.reconcile(set(port(i)));
    open();
    await published('the last', 19);
    assert.equal(host.sets.length, 2);
  });

  it('another target of the same place is a change', async () => {
    publications.reconcile(set(port(1)));
    await published('one', 1);
    publications.reconcile(set(port(1, '192.168.127.2')));
    await turns('the other', () => host.ports.join() === '127.0.0.1:1:192.168.127.2:1/tcp');
  });

  it('when the connection ends, everything is sent on another', async () => {
    publications.reconcile(set(port(1)));
    await published('one', 1);
    host.drop();
    await turns('another connection', () => host.connections === 2);
    await published('one again', 1);
  });

  it('while no host is connected it waits', async () => {
    host.isListening = false;
    publications.reconcile(set(port(1)));
    publications.reconcile(set(port(2)));
    host.isListening = true;
    await published('the last', 2);
    assert.equal(host.sets.length, 1);
  });

  it('a host that refuses is asked again, and says why once', async () => {
    host.refusal = { status: 503, detail: 'there are too many' };
    publications.reconcile(set(port(1)));
    await turns('several requests', () => host.sets.length > 3);
    host.refusal = undefined;
    await published('one', 1);
    const refusals = log.lines.filter((line) => JSON.stringify(line).includes('too many'));
    assert.equal(refusals.length, 1);
  });

  it('while ports come and go all the time, the outcome is said now and then, and the last in the end', async () => {
    const said = (): number => log.lines.length;
    for (let i = 1; i <= 30; i++) {
      publications.reconcile(set(...Array.from({ length: i }, (_, at) => port(at + 1))));
      await turns(`${i}`, () => host.ports.length === i);
    }
    await turns('the last', () => JSON.stringify(log.lines.at(-1)).includes('30 published'));
    assert.ok(said() >= 10 && said() < 20, `${said()} lines`);
  });

  it('a host without a guest API is said once', async () => {
    await host.stop();
    publications.reconcile(set(port(1)));
    await turns('the words', () => log.lines.length > 0);
    await host.start();
    await published('one', 1);
    await turns('the outcome', () => log.lines.length === 2);
    assert.match(JSON.stringify(log.lines[0]), /does it run, with --guest-api on/);
  });

  it('the ports end with it', async () => {
    publications.reconcile(set(port(1)));
    await published('one', 1);
    publications.close();
    await published('none');
    publications.reconcile(set(port(2)));
    assert.equal(host.connections, 1);
  });
});
