/** Contenders whose channels are Node streams: raw sockets, node:http2, and ours for people. */
import http2 from 'node:http2';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type BenchChannel,
  CHUNK,
  type Contender,
  ECHO,
  MESSAGE,
  STALL,
  stuffUntilFull,
} from './contender.ts';

/** Server side of one stream. */
export function serveStream(stream: Duplex): void {
  let kind = 0;
  stream.on('error', () => undefined);
  stream.on('data', (chunk: Buffer) => {
    if (kind === 0) {
      kind = chunk[0] ?? 0;
      chunk = chunk.subarray(1);
      if (kind === STALL) stream.pause();
    }
    if (kind === ECHO && chunk.length > 0) stream.write(chunk);
  });
  stream.on('end', () => stream.end(kind === ECHO ? undefined : 'k'));
}

export function streamChannel(stream: Duplex, kind: number): BenchChannel {
  stream.on('error', () => undefined);
  stream.write(Uint8Array.of(kind));
  let waiting: (() => void) | undefined;
  let got = 0;
  let ended = false;
  stream.on('data', (chunk: Buffer) => {
    got += chunk.length;
    if (kind === ECHO && got >= MESSAGE.length) {
      got -= MESSAGE.length;
      waiting?.();
    }
  });
  stream.on('end', () => {
    ended = true;
    if (kind !== ECHO) waiting?.();
  });
  return {
    async bulk(total) {
      const done = new Promise<void>((resolve) => {
        waiting = resolve;
      });
      for (let sent = 0; sent < total; sent += CHUNK.length) {
        if (!stream.write(CHUNK)) await new Promise((resolve) => stream.once('drain', resolve));
      }
      stream.end();
      if (!ended) await done;
    },
    ping() {
      return new Promise((resolve) => {
        waiting = resolve;
        stream.write(MESSAGE);
      });
    },
    close() {
      stream.end();
    },
    stuff: (ms) =>
      stuffUntilFull(
        ms,
        () => stream.write(CHUNK),
        (onDrain) => stream.on('drain', onDrain),
      ),
  };
}

export const raw: Contender = {
  name: 'raw sockets',
  serve(path) {
    const server = net.createServer({ allowHalfOpen: true }, serveStream);
    return new Promise((resolve) => server.listen(path, resolve));
  },
  connect: (path) =>
    Promise.resolve({
      open(kind) {
        return new Promise((resolve) => {
          const socket = net.connect({ path, allowHalfOpen: true }, () =>
            resolve(streamChannel(socket, kind)),
          );
        });
      },
      close: () => undefined,
    }),
};

const SETTINGS = { initialWindowSize: 1 << 20, maxConcurrentStreams: 4096 };

export const http2Raised: Contender = {
  name: 'node:http2, raised',
  serve(path) {
    const server = http2.createServer({ settings: SETTINGS });
    server.on('session', (session) => session.setLocalWindowSize(16 << 20));
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 });
      serveStream(stream);
    });
    return new Promise((resolve) => server.listen(path, resolve));
  },
  async connect(path) {
    const session = http2.connect('http://localhost', {
      createConnection: () => net.connect(path),
      settings: SETTINGS,
    });
    await new Promise((resolve) => session.once('remoteSettings', resolve));
    session.setLocalWindowSize(16 << 20);
    return {
      open(kind) {
        const stream = session.request({ ':method': 'POST', ':path': '/' }, { endStream: false });
        return Promise.resolve(streamChannel(stream, kind));
      },
      close: () => session.destroy(),
    };
  },
};
