import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ipv4 } from '../../../src/base/ip-address.ts';
import {
  type HostForwardsServer,
  MAX_CONNECTIONS,
  serveHostForwards,
} from '../../../src/control/slirp4netns/forwards-server.ts';
import { HostForwards, MAX_REQUEST } from '../../../src/control/slirp4netns/host-forwards.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const LIST = '{"execute":"list_hostfwd"}';
const EMPTY = { return: { entries: [] }, entries: [] };
const broken = { error: { desc: 'bad request: cannot parse JSON' } };

describe('control/slirp4netns/forwards-server', () => {
  let dir: string;
  let path: string;
  let server: HostForwardsServer;
  const sockets: Socket[] = [];

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-slirp-'));
    path = join(dir, 'api.sock');
    await serve(60_000);
  });
  async function serve(quietMs: number, requestMs = 60_000): Promise<void> {
    const ports = {
      publish: () => Promise.reject(new Error('a fault')),
      unpublish: () => false,
      ownerOf: () => undefined,
    };
    const forwards = new HostForwards(ports, ipv4(0x0a00_0264));
    server = await serveHostForwards(path, forwards, new RecordingLog(), {
      quietMs,
      requestMs,
    });
  }
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await server.close();
    rmSync(dir, { recursive: true });
  });

  async function client(): Promise<Socket> {
    const socket = connect({ path, allowHalfOpen: true });
    socket.on('error', () => {});
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  }
  /** What comes, up to the end. */
  async function all(socket: Socket): Promise<string> {
    let text = '';
    socket.setEncoding('utf8');
    for await (const part of socket) text += part;
    return text;
  }
  const answerTo = async (...parts: readonly string[]): Promise<unknown> => {
    const socket = await client();
    const answer = all(socket);
    for (const part of parts) await new Promise((sent) => socket.write(part, sent));
    return JSON.parse(await answer);
  };

  it('is for its user alone', () => assert.equal(statSync(path).mode & 0o777, 0o600));

  it('answers a request whose client does not end its side', async () =>
    assert.deepEqual(await answerTo(LIST), EMPTY));

  it('answers a request in pieces', async () =>
    assert.deepEqual(await answerTo(LIST.slice(0, 9), LIST.slice(9)), EMPTY));

  it('answers what is no JSON when the client ends its side', async () => {
    const socket = await client();
    const answer = all(socket);
    socket.end('{"execute"');
    assert.deepEqual(JSON.parse(await answer), broken);
  });

  it('answers what is no JSON when nothing more comes', async () => {
    await server.close();
    await serve(10);
    assert.deepEqual(await answerTo('{"execute"'), broken);
  });

  it('answers what is no JSON in time, though something comes now and then', async () => {
    await server.close();
    await serve(60_000, 100);
    const socket = await client();
    const drip = setInterval(() => socket.write(' '), 10);
    try {
      assert.deepEqual(JSON.parse(await all(socket)), broken);
    } finally {
      clearInterval(drip);
    }
  });

  it('refuses a request that is too large, and reads no more of it', async () => {
    const socket = await client();
    const answer = all(socket);
    for (let i = 0; i < 4; i++) socket.write(`"${'x'.repeat(MAX_REQUEST)}`);
    const desc = 'bad request: too large message';
    assert.deepEqual(JSON.parse(await answer), { error: { desc } });
  });

  it('a fault of ours ends the one connection', async () => {
    const args = { proto: 'tcp', host_port: 1, guest_port: 1 };
    const socket = await client();
    const answer = all(socket).catch(() => '');
    socket.write(JSON.stringify({ execute: 'add_hostfwd', arguments: args }));
    assert.equal(await answer, '');
    assert.deepEqual(await answerTo(LIST), EMPTY);
  });

  it('has a limit of connections: one more is closed, and taken when another has gone', async () => {
    const open = await Promise.all(Array.from({ length: MAX_CONNECTIONS }, client));
    const extra = await client();
    assert.equal(await all(extra).catch(() => ''), '');
    const [first] = open;
    assert.ok(first);
    first.end(LIST);
    assert.deepEqual(JSON.parse(await all(first)), EMPTY);
    first.destroy();
    for (;;) {
      const socket = await client();
      socket.end(LIST);
      if ((await all(socket).catch(() => '')) !== '') break;
    }
  });

  it('ends what is open when it is closed', async () => {
    const socket = await client();
    const ended = all(socket).catch(() => '');
    await server.close();
    assert.equal(await ended, '');
  });
});
