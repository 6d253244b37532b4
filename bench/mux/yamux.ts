/**
 * libp2p's yamux; how to install it is in the usage text of `main.ts`. It wants Node 22:
 * `Promise.withResolvers` is supplied for Node 20. When its socket has room again, its streams go on in
 * the order they were opened, and the first fills it: so a round trip waits for a bulk transfer that was
 * opened before.
 */
import net from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type BenchChannel,
  CHUNK,
  type Contender,
  ECHO,
  MESSAGE,
  STALL,
  stuffUntilFull,
} from './contender.ts';

interface Bytes {
  readonly byteLength: number;
  subarray(from?: number, to?: number): Uint8Array;
  get?(at: number): number;
}

/** What is used of a libp2p stream. */
interface MessageStream {
  send(bytes: Uint8Array | Bytes): boolean;
  close(): Promise<void>;
  pause(): void;
  onData(bytes: Uint8Array): void;
  safeDispatchEvent(name: string): void;
  addEventListener(name: string, listener: (event: { data: Bytes }) => void): void;
  removeEventListener(name: string, listener: (event: { data: Bytes }) => void): void;
}

interface StreamMuxer {
  createStream(): Promise<MessageStream>;
  addEventListener(name: string, listener: (event: { detail: MessageStream }) => void): void;
}

interface Modules {
  readonly yamux: () => () => { createStreamMuxer(connection: MessageStream): StreamMuxer };
  readonly Connection: new (init: object) => MessageStream;
  readonly logger: { forComponent(name: string): object };
  readonly address: object;
}

export async function yamuxFrom(dir: string): Promise<Contender> {
  if (!('withResolvers' in Promise)) {
    Reflect.set(Promise, 'withResolvers', () => {
      let resolve: unknown;
      let reject: unknown;
      const promise = new Promise((onDone, onError) => {
        resolve = onDone;
        reject = onError;
      });
      return { promise, resolve, reject };
    });
  }
  // Loaded by path, these have no types but the ones declared above.
  const at = (path: string): string => pathToFileURL(join(dir, 'node_modules', path)).href;
  const utils: { AbstractMultiaddrConnection: Modules['Connection'] } = await import(
    at('@libp2p/utils/dist/src/index.js')
  );
  const main: { yamux: Modules['yamux'] } = await import(
    at('@chainsafe/libp2p-yamux/dist/src/index.js')
  );
  const logging: { defaultLogger(): Modules['logger'] } = await import(
    at('@libp2p/logger/dist/src/index.js')
  );
  const addresses: { multiaddr(text: string): object } = await import(
    at('@multiformats/multiaddr/dist/src/index.js')
  );
  const modules: Modules = {
    yamux: main.yamux,
    Connection: utils.AbstractMultiaddrConnection,
    logger: logging.defaultLogger(),
    address: addresses.multiaddr('/unix/bench'),
  };
  return {
    name: 'libp2p yamux',
    serve(path) {
      const server = net.createServer((socket) => {
        muxerOver(modules, socket, 'inbound').addEventListener('stream', ({ detail }) => {
          serveStream(detail);
        });
      });
      return new Promise((resolve) => server.listen(path, resolve));
    },
    connect(path) {
      return new Promise((resolve) => {
        const socket = net.connect(path, () => {
          const muxer = muxerOver(modules, socket, 'outbound');
          resolve({
            open: async (kind) => channelOver(await muxer.createStream(), kind),
            close: () => socket.destroy(),
          });
        });
      });
    },
  };
}

function muxerOver(modules: Modules, socket: net.Socket, direction: string): StreamMuxer {
  const { Connection, address, logger, yamux } = modules;
  class SocketConnection extends Connection {
    sendData(data: Bytes): { sentBytes: number; canSendMore: boolean } {
      return { sentBytes: data.byteLength, canSendMore: socket.write(data.subarray()) };
    }
    sendReset(): void {
      socket.destroy();
    }
    sendPause(): void {
      socket.pause();
    }
    sendResume(): void {
      socket.resume();
    }
    sendClose(): Promise<void> {
      socket.end();
      return Promise.resolve();
    }
  }
  const log = logger.forComponent('bench');
  const connection = new SocketConnection({ remoteAddr: address, direction, log });
  socket.on('error', () => undefined);
  socket.on('drain', () => connection.safeDispatchEvent('drain'));
  socket.on('data', (chunk) => connection.onData(chunk));
  return yamux()().createStreamMuxer(connection);
}

function serveStream(stream: MessageStream): void {
  let kind = 0;
  stream.addEventListener('message', ({ data }) => {
    let bytes = data.subarray();
    if (kind === 0) {
      kind = bytes[0] ?? 0;
      bytes = bytes.subarray(1);
      if (kind === STALL) stream.pause();
    }
    if (kind === ECHO && bytes.length > 0) stream.send(bytes);
  });
  stream.addEventListener('remoteCloseWrite', () => {
    if (kind !== ECHO) stream.send(Uint8Array.of(1));
    stream.close().catch(() => undefined);
  });
}

function channelOver(stream: MessageStream, kind: number): BenchChannel {
  let done: () => void = () => undefined;
  let got = 0;
  stream.addEventListener('message', ({ data }) => {
    got += data.byteLength;
    if (kind === ECHO && got < MESSAGE.length) return;
    got = 0;
    done();
  });
  stream.send(Uint8Array.of(kind));
  const drained = (): Promise<void> =>
    new Promise((resolve) => {
      const onDrain = (): void => {
        stream.removeEventListener('drain', onDrain);
        resolve();
      };
      stream.addEventListener('drain', onDrain);
    });
  return {
    async bulk(total) {
      const answered = new Promise<void>((resolve) => {
        done = resolve;
      });
      for (let sent = 0; sent < total; sent += CHUNK.length) {
        if (!stream.send(CHUNK)) await drained();
      }
      stream.close().catch(() => undefined);
      await answered;
    },
    ping: () =>
      new Promise((resolve) => {
        done = resolve;
        stream.send(MESSAGE);
      }),
    close() {
      stream.close().catch(() => undefined);
    },
    stuff: (ms) =>
      stuffUntilFull(
        ms,
        () => stream.send(CHUNK),
        (onDrain) => stream.addEventListener('drain', onDrain),
      ),
  };
}
