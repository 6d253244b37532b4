/** Ours: channels used as hawser's own splices use them, and as Node streams. */
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Destination } from '../../src/mux/destination.ts';
import type { MuxRole } from '../../src/mux/handshake.ts';
import type { Mux } from '../../src/mux/mux.ts';
import type { MuxChannel, MuxChannelHandler } from '../../src/mux/mux-channel.ts';
import type { ChannelRequest } from '../../src/mux/request.ts';
import { streamOverSocket } from '../../src/native/stream/stream-over-socket.ts';
import { acceptStream, openStream } from '../../src/proxy/mux/channel-stream.ts';
import { MuxSocket } from '../../src/proxy/mux/mux-socket.ts';
import { NodeClock } from '../../src/transports/node-clock.ts';
import {
  type BenchChannel,
  CHUNK,
  CHUNK_LEN,
  type Contender,
  ECHO,
  MESSAGE,
  STALL,
} from './contender.ts';
import { serveStream, streamChannel } from './streams.ts';

const clock = new NodeClock();
/** All of this process. */
const muxes: Mux[] = [];
const TARGET: Destination = { proto: 'unix', path: '/bench' };

function muxSocket(
  role: MuxRole,
  onReady: () => void,
  onRequest: (request: ChannelRequest) => void,
): MuxSocket {
  const socket = new MuxSocket(
    clock,
    { role },
    {
      onReady,
      onRequest: (_now, request) => onRequest(request),
      onGoAway: () => undefined,
      onClosed: () => undefined,
    },
  );
  muxes.push(socket.mux);
  return socket;
}

/** Buffers come from an arena. */
const ownMemory = (): number =>
  muxes.reduce((sum, { rxPool, txPool }) => sum + rxPool.inUse + txPool.inUse, 0);

function listen(path: string, onRequest: (request: ChannelRequest) => void): Promise<void> {
  const server = net.createServer({ pauseOnConnect: true }, (accepted) => {
    const mux = muxSocket('listener', () => undefined, onRequest);
    mux.attach(streamOverSocket(accepted));
  });
  return new Promise((resolve) => server.listen(path, resolve));
}

function dial(path: string): Promise<MuxSocket> {
  return new Promise((resolve) => {
    const mux = muxSocket(
      'connector',
      () => resolve(mux),
      () => undefined,
    );
    const socket = net.connect({ path }, () => mux.attach(streamOverSocket(socket)));
    socket.pause();
  });
}

class Server implements MuxChannelHandler {
  private kind = 0;

  onOpen(): void {}

  onReadable(now: number, channel: MuxChannel): void {
    if (this.kind === 0) {
      this.kind = channel.readable()[0] ?? 0;
      channel.release(now, 1);
    }
    if (this.kind === STALL) return;
    while (channel.receivedLen > 0) {
      const run = channel.readable();
      if (this.kind === ECHO) channel.send(now, run, 0, run.length);
      channel.release(now, run.length);
    }
  }

  onWritable(): void {}

  onPeerEnd(now: number, channel: MuxChannel): void {
    if (this.kind !== ECHO) channel.send(now, Uint8Array.of(1), 0, 1);
    channel.shutdown(now);
  }

  onClosed(): void {}
}

class Client implements MuxChannelHandler, BenchChannel {
  private channel: MuxChannel | undefined = undefined;
  private done: () => void = () => undefined;
  private got = 0;
  private left = 0;
  private readonly kind: number;

  constructor(kind: number) {
    this.kind = kind;
  }

  start(mux: MuxSocket): this {
    this.channel = mux.open(TARGET, this);
    this.channel?.send(clock.now(), Uint8Array.of(this.kind), 0, 1);
    return this;
  }

  bulk(total: number): Promise<void> {
    this.left = total;
    this.pump();
    return new Promise((resolve) => {
      this.done = resolve;
    });
  }

  ping(): Promise<void> {
    this.channel?.send(clock.now(), MESSAGE, 0, MESSAGE.length);
    return new Promise((resolve) => {
      this.done = resolve;
    });
  }

  async stuff(ms: number): Promise<number> {
    const most = Number.MAX_SAFE_INTEGER;
    this.left = most;
    this.pump();
    for (let last = -1; last !== this.left; ) {
      last = this.left;
      await sleep(ms);
    }
    return most - this.left;
  }

  close(): void {
    this.channel?.shutdown(clock.now());
  }

  onOpen(): void {}

  onReadable(now: number, channel: MuxChannel): void {
    this.got += channel.receivedLen;
    while (channel.receivedLen > 0) channel.release(now, channel.readable().length);
    if (this.kind !== ECHO || this.got < MESSAGE.length) return;
    this.got -= MESSAGE.length;
    this.done();
  }

  onWritable(): void {
    this.pump();
  }

  onPeerEnd(): void {
    if (this.kind !== ECHO) this.done();
  }

  onClosed(): void {}

  private pump(): void {
    const { channel } = this;
    if (channel === undefined) return;
    const now = clock.now();
    while (this.left > 0 && channel.sendSpace >= CHUNK_LEN) {
      channel.send(now, CHUNK, 0, CHUNK_LEN);
      this.left -= CHUNK_LEN;
    }
    if (this.left > 0) channel.wantSpace(CHUNK_LEN);
    else channel.shutdown(now);
  }
}

export const hawser: Contender = {
  name: 'hawser',
  ownMemory,
  serve: (path) => listen(path, (request) => void request.accept(clock.now(), new Server())),
  async connect(path) {
    const mux = await dial(path);
    return {
      open: (kind) => Promise.resolve(new Client(kind).start(mux)),
      close: () => mux.destroy(),
    };
  },
};

export const hawserStreams: Contender = {
  name: 'hawser, Duplex',
  ownMemory,
  serve: (path) =>
    listen(path, (request) => {
      const stream = acceptStream(clock, request);
      if (stream !== undefined) serveStream(stream);
    }),
  async connect(path) {
    const mux = await dial(path);
    return {
      open(kind) {
        const stream = openStream(mux, clock, TARGET);
        if (stream === undefined) throw new Error('no channel');
        return Promise.resolve(streamChannel(stream, kind));
      },
      close: () => mux.destroy(),
    };
  },
};
