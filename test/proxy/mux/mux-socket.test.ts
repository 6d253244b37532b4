import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Destination } from '../../../src/mux/destination.ts';
import type { MuxRole } from '../../../src/mux/handshake.ts';
import type { MuxChannelHandler } from '../../../src/mux/mux-channel.ts';
import type { ChannelRequest } from '../../../src/mux/request.ts';
import { STREAM_BINDINGS } from '../../../src/native/stream/bindings.ts';
import { streamOverSocket } from '../../../src/native/stream/stream-over-socket.ts';
import { acceptStream, openStream } from '../../../src/proxy/mux/channel-stream.ts';
import { MuxSocket } from '../../../src/proxy/mux/mux-socket.ts';
import type { ByteDuplex } from '../../../src/proxy/stream/byte-duplex.ts';
import { NodeClock } from '../../../src/transports/node-clock.ts';
import { until } from '../recording.ts';

const clock = new NodeClock();
const TARGET: Destination = { proto: 'unix', path: '/run/x.sock' };

/** Two multiplexers over a Unix socket. */
class Link {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'hawser-mux-'));
  readonly closed: string[] = [];
  onClosed: (role: MuxRole) => void = () => {};
  onRequest: (request: ChannelRequest) => void = (request) => {
    // Echo.
    const stream = acceptStream(clock, request);
    stream?.on('error', () => undefined);
    stream?.pipe(stream);
  };
  client: MuxSocket = this.make('connector');
  server: MuxSocket = this.make('listener');

  async up(bindings: typeof STREAM_BINDINGS): Promise<this> {
    const path = join(this.dir, 's');
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
    server.listen(path);
    await once(server, 'listening');
    const accepted = once(server, 'connection');
    const socket = net.connect({ path });
    socket.pause();
    await once(socket, 'connect');
    const [other] = await accepted;
    this.client.attach(streamOverSocket(socket, bindings));
    this.server.attach(streamOverSocket(other, bindings));
    server.close();
    return this;
  }

  open(): ByteDuplex {
    const stream = openStream(this.client, clock, TARGET);
    assert.ok(stream !== undefined);
    return stream;
  }

  close(): void {
    this.client.destroy();
    this.server.destroy();
    rmSync(this.dir, { recursive: true });
  }

  private make(role: MuxRole): MuxSocket {
    return new MuxSocket(
      clock,
      { role },
      {
        onReady: () => undefined,
        onRequest: (_now, request) => this.onRequest(request),
        onGoAway: () => undefined,
        onClosed: (reason) => {
          this.closed.push(reason);
          this.onClosed(role);
        },
      },
    );
  }
}

for (const [over, bindings] of [
  ['handles', STREAM_BINDINGS],
  ['net.Socket', null],
] as const) {
  describe(`MuxSocket over ${over}`, () => {
    let link: Link;
    beforeEach(async () => {
      link = await new Link().up(bindings);
    });
    afterEach(() => link.close());

    it('carries 16 MB there and back through a stream, with equal checksums', async () => {
      const sent = createHash('sha256');
      const back = createHash('sha256');
      const stream = link.open();
      const chunk = Buffer.allocUnsafe(100_003);
      const source = function* (): Generator<Buffer> {
        for (let i = 0; i < 160; i++) {
          chunk.fill(i);
          sent.update(chunk);
          yield Buffer.from(chunk);
        }
      };
      await Promise.all([
        pipeline(source, stream, { end: true }),
        (async () => {
          for await (const part of stream) back.update(part);
        })(),
      ]);
      assert.equal(back.digest('hex'), sent.digest('hex'));
    });

    it('carries 200 small streams at a time', async () => {
      const answers = Array.from({ length: 200 }, async (_, i) => {
        const stream = link.open();
        stream.end(`hello ${i}`);
        let text = '';
        for await (const part of stream) text += String(part);
        return text;
      });
      const all = await Promise.all(answers);
      assert.deepEqual(
        all,
        all.map((_, i) => `hello ${i}`),
      );
    });

    it('is closed when each of hundreds of channels has been told', async () => {
      let open = 0;
      const handler: MuxChannelHandler = {
        onOpen: () => open++,
        onReadable: () => {},
        onWritable: () => {},
        onPeerEnd: () => {},
        onClosed: () => open--,
      };
      for (let n = 0; n < 300; n++) link.client.open(TARGET, handler);
      await until(() => open === 300);
      const left: number[] = [];
      link.onClosed = (role) => {
        if (role === 'connector') left.push(open);
      };
      link.server.destroy();
      await until(() => link.closed.length === 2);
      assert.deepEqual(left, [0]);
    });

    it('fails a refused stream with the reason', async () => {
      link.onRequest = (request) => request.refuse(clock.now(), 'refused', 'connect ECONNREFUSED');
      const [error] = await once(link.open(), 'error');
      assert.equal(error.code, 'ECONNREFUSED');
      assert.match(error.message, /connect ECONNREFUSED/);
    });

    it('fails every stream when the link goes', async () => {
      const stream = link.open();
      await once(stream, 'connect');
      link.server.destroy();
      const [error] = await once(stream, 'error');
      assert.equal(error.code, 'ERR_HAWSER_LINK_DOWN');
    });

    it('passes a destroyed stream on to the other end as a reset', async () => {
      const other = new Promise<ByteDuplex>((resolve) => {
        link.onRequest = (request) => {
          const stream = acceptStream(clock, request);
          if (stream !== undefined) resolve(stream);
        };
      });
      const stream = link.open();
      await once(stream, 'connect');
      stream.destroy();
      const [error] = await once(await other, 'error');
      assert.equal(error.code, 'ECONNRESET');
    });

    it('drains: streams finish, then both ends close', async () => {
      const stream = link.open();
      await once(stream, 'connect');
      link.server.drain();
      stream.end('last words');
      let text = '';
      for await (const part of stream) text += String(part);
      assert.equal(text, 'last words');
      while (link.closed.length < 2) await new Promise(setImmediate);
      assert.deepEqual(link.closed.toSorted(), ['drained', 'link-down']);
    });
  });
}
