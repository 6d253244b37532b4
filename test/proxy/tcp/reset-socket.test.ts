import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resetSocket } from '../../../src/proxy/tcp/reset-socket.ts';

interface Pair {
  readonly ours: Socket;
  readonly theirs: Socket;
  /** What became of their end: `ECONNRESET`, or `closed`. */
  readonly fate: Promise<string>;
}

async function makePair(path?: string): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path });
  await once(server, 'listening');
  const address = server.address();
  const to =
    typeof address === 'object' && address !== null
      ? { port: address.port, host: '127.0.0.1' }
      : { path: address ?? '' };
  const ours = connect({ ...to, allowHalfOpen: true });
  const [[theirs]]: [Socket[], unknown] = await Promise.all([
    once(server, 'connection'),
    once(ours, 'connect'),
  ]);
  server.close();
  assert.ok(theirs !== undefined);
  const fate = new Promise<string>((resolve) => {
    theirs.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    theirs.on('end', () => resolve('ended'));
    theirs.resume();
  });
  return { ours, theirs, fate };
}

describe('proxy/tcp/reset-socket', () => {
  it('resets a TCP connection', async () => {
    const { ours, fate } = await makePair();
    resetSocket(ours);
    assert.equal(await fate, 'ECONNRESET');
  });

  it('closes a Unix socket, which cannot be reset', async () => {
    const { ours, theirs, fate } = await makePair(join(tmpdir(), `hawser-${process.pid}.sock`));
    resetSocket(ours);
    assert.equal(await fate, 'ended');
    theirs.destroy();
  });

  for (const turns of [0, 1, 2]) {
    it(`${turns} turns after an end it keeps no descriptor`, async () => {
      const { ours, theirs } = await makePair();
      ours.on('error', (error) => assert.fail(error.message));
      ours.end();
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      const closed = once(ours, 'close');
      resetSocket(ours);
      await closed; // never comes when libuv refuses
      theirs.destroy();
    });
  }
});
