/** Owners that throw where a stream begins: it is reset, and the next one is served. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { FaultWatch } from '../../src/base/faults.ts';
import { SILENT } from '../../src/base/log.ts';
import { acceptStreams } from '../../src/native/stream/accept-streams.ts';
import { STREAM_BINDINGS } from '../../src/native/stream/bindings.ts';
import { connectStream } from '../../src/native/stream/connect-stream.ts';
import type { HostStream } from '../../src/native/stream/host-stream.ts';
import { until } from '../proxy/recording.ts';
import { answerAndEnd } from '../support/stream-owner.ts';

async function listen(server: Server): Promise<{ readonly host: string; readonly port: number }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  assert.ok(typeof bound === 'object' && bound !== null);
  return { host: bound.address, port: bound.port };
}

for (const [way, bindings] of [
  ['handles', STREAM_BINDINGS],
  ['sockets', null],
] as const) {
  describe(`native/stream: faults, over ${way}`, () => {
    let watch: FaultWatch;
    let server: Server;
    const peers: Socket[] = [];

    beforeEach(() => {
      watch = new FaultWatch(SILENT);
      server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    });
    afterEach(() => {
      watch.close();
      for (const peer of peers.splice(0)) peer.destroy();
      server.close();
    });

    it('accept: what throws over one is that one reset, and the next one is served', async () => {
      const at = await listen(server);
      let isBroken = true;
      const onStream = (stream: HostStream): void => {
        if (isBroken) throw new Error('broken');
        answerAndEnd(stream, 'hello', () => {});
      };
      acceptStreams(server, { onStream, onFailed: () => {} }, { bindings });
      const first = connect(at).resume();
      peers.push(first);
      const [error] = await once(first, 'error');
      assert.equal(error.code, 'ECONNRESET');
      assert.deepEqual(watch.counts.snapshot(), { accept: 1 });
      isBroken = false;
      const second = connect(at);
      peers.push(second);
      const [bytes] = await once(second, 'data');
      assert.equal(String(bytes), 'hello');
    });

    it('connect: the peer is reset, the owner hears of a failure, and the next one is connected', async () => {
      const errors: string[] = [];
      server.on('connection', (peer) => {
        peers.push(peer);
        peer.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(code ?? ''));
        peer.resume();
      });
      const at = await listen(server);
      const failures: string[] = [];
      const broken = {
        onConnected: () => {
          throw new Error('broken');
        },
        onConnectFailed: (code: string) => failures.push(code),
      };
      connectStream(at, broken, { bindings });
      await until(() => errors.length > 0);
      assert.deepEqual([errors, failures], [['ECONNRESET'], ['EFAULT']]);
      assert.deepEqual(watch.counts.snapshot(), { connect: 1 });
      const stream = await new Promise<HostStream>((onConnected, onConnectFailed) => {
        connectStream(at, { onConnected, onConnectFailed }, { bindings });
      });
      stream.reset();
    });

    it('connect: where nobody watches, the peer is reset and the fault thrown on', async () => {
      watch.close();
      const errors: string[] = [];
      server.on('connection', (peer) => {
        peers.push(peer);
        peer.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(code ?? ''));
        peer.resume();
        peer.write('greeting');
      });
      const at = await listen(server);
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      const thrown = once(process, 'uncaughtException');
      const onConnected = (): void => {
        throw new Error('broken');
      };
      connectStream(at, { onConnected, onConnectFailed: () => {} }, { bindings });
      const [fault] = await thrown;
      for (const other of others) process.on('uncaughtException', other);
      assert.match(String(fault), /broken/);
      await until(() => errors.length > 0);
      assert.deepEqual(errors, ['ECONNRESET']);
    });

    it('connect: an owner that throws at a failure ends nothing', async () => {
      const at = await listen(server);
      server.close();
      await once(server, 'close');
      let calls = 0;
      const onConnectFailed = (): void => {
        calls++;
        throw new Error('broken');
      };
      connectStream(at, { onConnected: () => assert.fail(), onConnectFailed }, { bindings });
      await until(() => calls > 0);
      assert.deepEqual([calls, watch.counts.snapshot()], [1, { connect: 1 }]);
    });
  });
}
