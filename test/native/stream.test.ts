/** Host streams over libuv's handles, and over `net.Socket`, on real sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultWatch } from '../../src/base/faults.ts';
import { SILENT } from '../../src/base/log.ts';
import { loadPosix } from '../../src/native/load.ts';
import { acceptStreams } from '../../src/native/stream/accept-streams.ts';
import { STREAM_BINDINGS } from '../../src/native/stream/bindings.ts';
import { connectStream } from '../../src/native/stream/connect-stream.ts';
import { endStream } from '../../src/native/stream/end-stream.ts';
import {
  type Connecting,
  type HostStream,
  READ_BUFFER,
  type StreamTarget,
} from '../../src/native/stream/host-stream.ts';
import { until } from '../proxy/dns/lab.ts';
import { freePort } from '../support/free-port.ts';
import { itNeeding, needsOf } from '../support/requirements.ts';
import { StreamOwner } from '../support/stream-owner.ts';

const BIG = 8 << 20;
const PATH = join(tmpdir(), `hawser-stream-${process.pid}.sock`);

const pattern = (len: number): Buffer => Buffer.from(Uint8Array.from({ length: len }, (_, i) => i));

assert.ok(STREAM_BINDINGS !== null, 'this Node has the handles');
/** Lends a new buffer each time, so that no byte can come by another way than it should. */
class LendingOwner extends StreamOwner {
  lent: Uint8Array | undefined = undefined;
  length = 0;
  /** Bytes that were read into what was lent. */
  filled = 0;

  override onHostBytes(bytes: Uint8Array, len: number): boolean {
    this.length += len;
    if (bytes === this.lent) {
      this.lent = undefined;
      this.filled += len;
    } else {
      assert.equal(bytes, READ_BUFFER);
      assert.equal(this.lent, undefined, 'what is lent goes before');
    }
    return super.onHostBytes(bytes, len);
  }

  onHostMore(): Uint8Array | undefined {
    assert.equal(this.lent, undefined, 'lent twice');
    this.lent = new Uint8Array(100_000);
    return this.lent;
  }
}

/** Hears of an end when it reads again. */
class LateOwner extends StreamOwner {
  asked = 0;

  mayHostEnd(): boolean {
    this.asked++;
    return false;
  }
}

for (const [way, bindings] of [
  ['handles', STREAM_BINDINGS],
  ['sockets', null],
] as const) {
  describe(`native/stream over ${way}`, () => {
    const servers: Server[] = [];
    const peers: Socket[] = [];

    afterEach(() => {
      for (const peer of peers.splice(0)) peer.destroy();
      for (const server of servers.splice(0)) server.close();
    });

    async function listen(target: StreamTarget): Promise<{ server: Server; at: StreamTarget }> {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
      servers.push(server);
      server.on('connection', (peer) => {
        peers.push(peer);
        peer.on('error', () => {});
      });
      server.listen('path' in target ? { path: target.path } : { ...target });
      await once(server, 'listening');
      const bound = server.address();
      if (typeof bound !== 'object' || bound === null) return { server, at: target };
      return { server, at: { host: bound.address, port: bound.port } };
    }

    const dial = (at: StreamTarget): Promise<HostStream | string> =>
      new Promise((resolve) => {
        const owner = { onConnected: resolve, onConnectFailed: resolve };
        connectStream(at, owner, { bindings });
      });

    async function pair(target: StreamTarget = { host: '127.0.0.1', port: 0 }) {
      const { at } = await listen(target);
      const stream = await dial(at);
      assert.ok(typeof stream !== 'string', `connect: ${stream}`);
      await until(() => peers.length === 1);
      const [peer] = peers;
      assert.ok(peer !== undefined);
      return { stream, peer, owner: new StreamOwner() };
    }

    for (const target of [
      { host: '127.0.0.1', port: 0 },
      { host: '::1', port: 0 },
      { path: PATH },
    ]) {
      const name = 'path' in target ? 'a Unix socket' : target.host;
      itNeeding(`carries bytes and ends both ways: ${name}`, needsOf(name), async () => {
        const { stream, peer, owner } = await pair(target);
        stream.start(owner);
        peer.end('question');
        await until(() => owner.ended);
        assert.equal(owner.bytes.toString(), 'question');
        stream.write(Buffer.from('answer'));
        stream.end();
        const got: Buffer[] = [];
        for await (const chunk of peer) got.push(chunk);
        assert.equal(Buffer.concat(got).toString(), 'answer');
        await until(() => owner.closes.length === 1);
        assert.deepEqual(owner.closes, [undefined]);
      });
    }

    for (const [what, len] of [
      ['what the kernel takes at once', 1_000],
      ['more than that', BIG],
    ] as const) {
      for (const target of [{ host: '127.0.0.1', port: 0 }, { path: PATH }]) {
        const name = 'path' in target ? 'a Unix socket' : 'TCP';
        it(`ends its own way first, after all of ${what}, and reads on: ${name}`, async () => {
          loadPosix();
          const { stream, peer, owner } = await pair(target);
          stream.start(owner);
          stream.write(pattern(len));
          stream.end();
          const got: Buffer[] = [];
          peer.on('data', (chunk: Buffer) => got.push(chunk));
          peer.resume();
          await once(peer, 'end');
          assert.ok(Buffer.concat(got).equals(pattern(len)));
          assert.deepEqual(owner.closes, []);
          peer.end('late');
          await until(() => owner.closes.length === 1);
          assert.equal(owner.bytes.toString(), 'late');
          assert.deepEqual(owner.closes, [undefined]);
        });
      }
    }

    it('whose peer has reset it ends with a code, once', async () => {
      loadPosix();
      const { stream, peer, owner } = await pair();
      stream.start(owner, true);
      peer.resetAndDestroy();
      await new Promise((resolve) => setTimeout(resolve, 20));
      stream.end();
      stream.resume();
      await until(() => owner.closes.length === 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(owner.closes.length, 1);
      assert.ok(['ENOTCONN', 'ECONNRESET'].includes(`${owner.closes[0]}`), `${owner.closes[0]}`);
    });

    for (const [what, code] of [
      ['an end', undefined],
      ['a failure', 'ECONNRESET'],
    ] as const) {
      it(`passes on ${what} when it is read again, where its owner waits with it`, async () => {
        const { stream, peer } = await pair();
        const owner = new LateOwner();
        stream.start(owner);
        if (code === undefined) peer.end();
        else peer.resetAndDestroy();
        if (way === 'sockets') return await until(() => owner.ended || owner.closes.length > 0);
        await until(() => owner.asked === 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
        assert.equal(owner.ended || owner.closes.length > 0, false);
        if (code === undefined) stream.end();
        stream.resume();
        assert.equal(owner.ended, code === undefined);
        await until(() => owner.closes.length === 1);
        assert.deepEqual(owner.closes, [code]);
        stream.resume();
        assert.equal(owner.asked, 1);
      });
    }

    it('an owner that throws when it is told of an end late: the stream is reset', async () => {
      if (way === 'sockets') return;
      const watch = new FaultWatch(SILENT);
      try {
        const { stream, peer } = await pair();
        const owner = new LateOwner();
        owner.onHostEnd = () => {
          throw new Error('broken');
        };
        stream.start(owner);
        peer.end();
        await until(() => owner.asked === 1);
        stream.resume();
        assert.deepEqual(owner.closes, ['EFAULT']);
        assert.equal(watch.counts.get('stream'), 1);
      } finally {
        watch.close();
      }
    });

    for (const isNative of [false, true]) {
      it(`knows a reset behind bytes from an end, ${isNative ? 'with' : 'without'} native calls`, async () => {
        if (way === 'sockets') return; // net.Socket takes it for an end
        loadPosix();
        for (const how of ['reset', 'end', 'end, then reset'] as const) {
          const { stream, peer, owner } = await pair();
          if (!isNative) Object.defineProperty(Reflect.get(stream, 'handle'), 'fd', { value: -1 });
          stream.start(owner);
          if (how === 'end, then reset') stream.write(pattern(10)); // which is never read
          peer.write(pattern(3_000));
          if (how === 'reset') peer.resetAndDestroy();
          else if (how === 'end') peer.end();
          else peer.end(() => peer.resetAndDestroy());
          await until(() => owner.ended || owner.closes.length === 1);
          assert.ok(owner.bytes.equals(pattern(3_000)));
          assert.equal(owner.ended, how !== 'reset', how);
          assert.deepEqual(owner.closes, how === 'reset' ? ['ECONNRESET'] : []);
          stream.reset();
          peers.splice(0);
        }
      });
    }

    it('passes from one owner to another while it is paused, with nothing lost', async () => {
      const { stream, peer, owner } = await pair({ path: PATH });
      stream.start(owner);
      owner.reads = false;
      peer.write('first');
      await until(() => owner.chunks.length === 1);
      const next = new StreamOwner();
      const buffer = new Uint8Array(READ_BUFFER.length);
      stream.start(
        {
          onHostBytes: (bytes, len) => {
            assert.equal(bytes, buffer);
            return next.onHostBytes(bytes, len);
          },
          onHostEnd: () => next.onHostEnd(),
          onHostWritten: () => next.onHostWritten(),
          onHostClosed: (code) => next.onHostClosed(code),
        },
        false,
        buffer,
      );
      peer.end('second');
      await until(() => next.ended);
      stream.end();
      await until(() => next.closes.length === 1);
      assert.equal(owner.bytes.toString(), 'first');
      assert.equal(next.bytes.toString(), 'second');
      assert.deepEqual(owner.closes, []);
    });

    it('ends in order: all that was written, no reset, and what the peer still sends is read', async () => {
      const { stream, peer, owner } = await pair({ path: PATH });
      const failures: Error[] = [];
      peer.on('error', (error) => failures.push(error));
      stream.start(owner);
      stream.write(Buffer.alloc(BIG));
      const ended = endStream(stream, 5_000);
      peer.write(Buffer.alloc(BIG));
      let got = 0;
      peer.on('data', (chunk: Buffer) => {
        got += chunk.length;
      });
      peer.resume();
      await once(peer, 'end');
      assert.equal(got, BIG);
      peer.end();
      await ended;
      assert.deepEqual(failures, []);
      assert.deepEqual(owner.closes, []);
    });

    it('ends at its limit where the peer does neither', async () => {
      const { stream, owner } = await pair({ path: PATH });
      stream.start(owner);
      stream.write(Buffer.alloc(BIG));
      await endStream(stream, 20);
      assert.deepEqual(owner.closes, []);
    });

    for (const where of ['onHostBytes', 'onHostEnd', 'onHostWritten', 'onHostClosed'] as const) {
      it(`an owner that throws in ${where}: the stream is reset, and the owner hears of it`, async () => {
        const watch = new FaultWatch(SILENT);
        try {
          const { stream, peer, owner } = await pair();
          const original = owner.onHostClosed.bind(owner);
          Object.assign(owner, {
            [where]: (code: string) => {
              if (where === 'onHostClosed') original(code);
              throw new Error('broken');
            },
          });
          stream.start(owner);
          peer.resume();
          if (where === 'onHostWritten') {
            assert.equal(stream.write(pattern(BIG)), false);
          } else {
            peer.write('x');
            peer.end();
            if (where === 'onHostClosed') stream.end();
          }
          let failure = '';
          peer.on('error', ({ code }: NodeJS.ErrnoException) => {
            failure = code ?? '';
          });
          await until(() => watch.counts.get('stream') > 0 && owner.closes.length > 0);
          // At the last call there is nothing left to reset.
          if (where === 'onHostClosed') await until(() => peer.readableEnded);
          else {
            // libuv may take a reset that comes with the last bytes for an end; the next write fails then.
            if (peer.readableEnded) peer.write('x');
            else peer.on('end', () => peer.write('x'));
            await until(() => failure === 'ECONNRESET');
          }
          assert.deepEqual(owner.closes, [where === 'onHostClosed' ? undefined : 'EFAULT']);
          assert.equal(watch.counts.get('stream'), 1);
        } finally {
          watch.close();
        }
      });
    }

    it('lends what the kernel does not take at once, and says when it has', async () => {
      const { stream, peer, owner } = await pair();
      stream.start(owner);
      const bytes = pattern(BIG);
      assert.equal(stream.write(bytes), false);
      const got: Buffer[] = [];
      peer.on('data', (chunk) => got.push(chunk));
      peer.resume();
      await until(() => owner.written === 1);
      assert.ok(stream.write(Buffer.from('.')) || way === 'sockets');
      stream.end();
      await once(peer, 'end');
      assert.ok(Buffer.concat([bytes, Buffer.from('.')]).equals(Buffer.concat(got)));
    });

    it('writes what the kernel takes at once, and no more', async () => {
      loadPosix();
      const { stream, peer, owner } = await pair();
      stream.start(owner);
      const bytes = pattern(BIG);
      assert.equal('tryWrite' in stream, way === 'handles');
      if (stream.tryWrite === undefined) return;
      let written = 0;
      for (let n = 1; n > 0; written += n) n = stream.tryWrite(bytes, written, BIG - written);
      assert.ok(written > 0 && written < BIG, `${written}`);
      assert.equal(stream.write(bytes, written, BIG - written), false);
      assert.equal(stream.tryWrite(bytes, 0, 1), 0, 'not before what waits');
      const got: Buffer[] = [];
      peer.on('data', (chunk) => got.push(chunk));
      peer.resume();
      await until(() => owner.written === 1);
      stream.end();
      assert.equal(stream.tryWrite(bytes, 0, 1), 0, 'not behind the end');
      await once(peer, 'end');
      assert.ok(bytes.equals(Buffer.concat(got)));
      stream.reset();
      assert.equal(stream.tryWrite(bytes, 0, 1), 0);
    });

    it('a larger send buffer: a Unix socket has it, TCP is left alone', async () => {
      loadPosix();
      const held = async (target: StreamTarget, bytes: number): Promise<number> => {
        const { stream, owner } = await pair(target);
        stream.start(owner);
        const done = bytes > 0 && stream.setSendBuffer(bytes);
        assert.equal(done, bytes > 0 && way === 'handles');
        let chunks = 1;
        for (const chunk = new Uint8Array(16 << 10); stream.write(chunk); ) chunks++;
        stream.reset();
        assert.equal(stream.setSendBuffer(bytes), way === 'handles' && !('path' in target));
        for (const peer of peers.splice(0)) peer.destroy();
        for (const server of servers.splice(0)) server.close();
        return chunks << 14;
      };
      if (way === 'sockets') {
        assert.equal(await held({ path: PATH }, 512 << 10), await held({ path: PATH }, 0));
        return;
      }
      const plain = await held({ path: PATH }, 0);
      assert.ok((await held({ path: PATH }, 512 << 10)) > plain + 100_000);
      const tcp = { host: '127.0.0.1', port: 0 };
      const free = await held(tcp, 0);
      assert.ok((await held(tcp, 4 << 10)) > free / 2, 'as much as it would');
    });

    it('reads into what its owner lends, and hands back all of it', async () => {
      const { stream, peer } = await pair();
      const owner = new LendingOwner();
      stream.start(owner);
      const bytes = pattern(BIG);
      peer.write(bytes);
      await until(() => owner.length === BIG);
      assert.ok(owner.bytes.equals(bytes));
      await until(() => owner.lent === undefined);
      if (way === 'handles') assert.ok(owner.filled > BIG / 2, `${owner.filled} bytes in place`);
      peer.write('short');
      await until(() => owner.length === BIG + 5);
      assert.equal(owner.lent, undefined);
      peer.write(bytes);
      peer.end();
      await until(() => owner.ended);
      assert.equal(owner.lent, undefined, 'the end hands it back');
      assert.ok(owner.bytes.equals(Buffer.concat([bytes, Buffer.from('short'), bytes])));
      stream.reset();
    });

    it('a stream that stops hands back what it was lent, and goes on in its own buffer', async () => {
      const { stream, peer } = await pair();
      const owner = new LendingOwner();
      stream.start(owner);
      peer.write(pattern(BIG));
      await until(() => owner.length > BIG / 4);
      owner.reads = false;
      await until(() => owner.lent === undefined);
      const stoppedAt = owner.length;
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
      assert.ok(owner.length <= stoppedAt + READ_BUFFER.length);
      owner.reads = true;
      stream.resume();
      await until(() => owner.length === BIG);
      assert.ok(owner.bytes.equals(pattern(BIG)));
      stream.reset();
    });

    for (const when of ['at once', 'at once and paused', 'later'] as const) {
      it(`has what the server says first where it is started ${when}`, async () => {
        const { server, at } = await listen({ host: '127.0.0.1', port: 0 });
        server.on('connection', (peer: Socket) => peer.end('greeting'));
        const owner = new StreamOwner();
        const stream = await new Promise<HostStream>((resolve, reject) => {
          const onConnected = (made: HostStream): void => {
            if (when !== 'later') made.start(owner, when !== 'at once');
            resolve(made);
          };
          connectStream(at, { onConnected, onConnectFailed: reject }, { bindings });
        });
        await sleep(50);
        assert.equal(owner.bytes.toString(), when === 'at once' ? 'greeting' : '');
        if (when === 'later') stream.start(owner);
        else stream.resume();
        await until(() => owner.ended);
        assert.equal(owner.bytes.toString(), 'greeting');
        stream.end();
        await until(() => owner.closes.length === 1);
      });
    }

    it('stops reading on request, and goes on', async () => {
      const { stream, peer, owner } = await pair();
      owner.reads = false;
      stream.start(owner, true);
      const bytes = pattern(BIG);
      peer.end(bytes);
      assert.equal(owner.chunks.length, 0);
      stream.resume();
      await until(() => owner.chunks.length === 1);
      assert.ok(owner.bytes.length <= READ_BUFFER.length);
      assert.ok(peer.writableLength > 0, 'the peer is held back');
      owner.reads = true;
      stream.resume();
      await until(() => owner.ended);
      assert.ok(owner.bytes.equals(bytes));
      stream.end();
    });

    it('a reset by the peer closes it with a code', async () => {
      const { stream, peer, owner } = await pair();
      stream.start(owner);
      peer.resetAndDestroy();
      await until(() => owner.closes.length === 1);
      assert.deepEqual(owner.closes, ['ECONNRESET']);
      assert.equal(stream.write(Buffer.from('late')), false);
      stream.end();
      stream.resume();
      stream.reset();
      assert.equal(owner.closes.length, 1);
    });

    it('a peer that is gone fails a later write', async () => {
      const { stream, peer, owner } = await pair();
      stream.start(owner, true);
      peer.destroy();
      await once(peer, 'close');
      for (let i = 0; owner.closes.length === 0; i++) {
        stream.write(Buffer.from('x'));
        await until(() => owner.written > i || owner.closes.length > 0 || way === 'handles');
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.match(owner.closes[0] ?? '', /EPIPE|ECONNRESET/);
    });

    for (const [what, closes] of [
      ['is told to the owner', 1],
      ['is not told to an owner that closes at once', 0],
    ] as const) {
      it(`a write that fails before there is an owner ${what}`, async () => {
        const { stream, peer, owner } = await pair({ path: PATH });
        peer.destroy();
        await once(peer, 'close');
        stream.write(Buffer.from('x'));
        stream.start(owner);
        if (closes === 0) stream.close();
        else await until(() => owner.closes.length > 0);
        await new Promise((resolve) => setTimeout(resolve, 20));
        assert.equal(owner.closes.length, closes);
        if (closes > 0) assert.match(owner.closes[0] ?? '', /EPIPE|ECONNRESET/);
      });
    }

    it('resets its peer; a Unix socket is closed', async () => {
      for (const [target, fate] of [
        [undefined, 'ECONNRESET'],
        [{ path: PATH }, 'end'],
      ] as const) {
        const { stream, peer, owner } = await pair(target);
        const what = new Promise<string>((resolve) => {
          peer.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
          peer.on('end', () => resolve('end'));
        });
        peer.resume();
        stream.start(owner);
        stream.reset();
        assert.equal(await what, fate);
        assert.deepEqual(owner.closes, []);
        peers.splice(0);
        for (const server of servers.splice(0)) server.close();
      }
    });

    for (const turns of [0, 1, 2]) {
      it(`a reset ${turns} turns after its end keeps no descriptor`, async () => {
        const { stream, peer, owner } = await pair();
        stream.start(owner);
        stream.end();
        for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
        stream.reset();
        peer.resume();
        peer.end();
        await once(peer, 'close'); // hangs when ours lives on
      });
    }

    it('says why a connect failed', async () => {
      assert.equal(await dial({ host: '127.0.0.1', port: await freePort() }), 'ECONNREFUSED');
      assert.equal(await dial({ path: join(tmpdir(), 'hawser-nobody.sock') }), 'ENOENT');
    });

    it('a connect that is cancelled says nothing', async () => {
      const { at } = await listen({ host: '127.0.0.1', port: 0 });
      let calls = 0;
      const owner = { onConnected: () => calls++, onConnectFailed: () => calls++ };
      const connecting: Connecting = connectStream(at, owner, { bindings });
      connecting.cancel();
      connecting.cancel();
      assert.ok(typeof (await dial(at)) !== 'string');
      assert.equal(calls, 0);
    });

    it('accepts, and knows who is who', async () => {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
      servers.push(server);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const streams: HostStream[] = [];
      acceptStreams(
        server,
        { onStream: (stream) => streams.push(stream), onFailed: () => assert.fail() },
        { bindings },
      );
      const bound = server.address();
      assert.ok(typeof bound === 'object' && bound !== null);
      const peer = netConnect(bound.port, '127.0.0.1');
      peers.push(peer);
      await until(() => streams.length === 1);
      const [stream] = streams;
      assert.ok(stream !== undefined);
      assert.deepEqual(
        [stream.remoteAddress, stream.remotePort, stream.localAddress, stream.localPort],
        ['127.0.0.1', peer.localPort, '127.0.0.1', bound.port],
      );
      const owner = new StreamOwner();
      stream.start(owner);
      peer.end('hello');
      await until(() => owner.ended);
      assert.equal(owner.bytes.toString(), 'hello');
      stream.end();
      await once(peer, 'close');
    });
  });
}
