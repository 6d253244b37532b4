/**
 * The server of slirp4netns' API: one request a connection, on a Unix socket of mode 0600. Clients may or may not end their
 * side: a request is complete when it is JSON. What does not become JSON is refused at the client's end, or when nothing
 * more comes.
 */
import { createServer, type Socket } from 'node:net';
import type { Log } from '../../base/log.ts';
import { bindUnix } from '../api-listener.ts';
import { type HostForwards, MAX_REQUEST, parseJson } from './host-forwards.ts';

export const MAX_CONNECTIONS = 64;

export interface HostForwardsTiming {
  /** Between two parts of a request; and for the client to go, once it is answered. */
  readonly quietMs: number;
  /** For all of a request: one of the few places is not kept by a client that sends a byte now and then. */
  readonly requestMs: number;
}

const TIMING: HostForwardsTiming = { quietMs: 1_000, requestMs: 10_000 };

export interface HostForwardsServer {
  close(): Promise<void>;
}

/** @throws ListenError */
export async function serveHostForwards(
  path: string,
  forwards: HostForwards,
  log: Log,
  timing: HostForwardsTiming = TIMING,
): Promise<HostForwardsServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    onConnection(socket, forwards, log, timing);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await bindUnix(server, path, 'the API of slirp4netns');
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function onConnection(
  socket: Socket,
  forwards: HostForwards,
  log: Log,
  { quietMs, requestMs }: HostForwardsTiming,
): void {
  let text = '';
  let isAnswered = false;
  const send = (answer: object): void => {
    socket.setTimeout(quietMs, () => socket.destroy());
    socket.end(JSON.stringify(answer));
  };
  const answer = (): void => {
    if (isAnswered) return;
    isAnswered = true;
    clearTimeout(timer);
    socket.setTimeout(0);
    socket.removeAllListeners('timeout');
    const isTooLarge = text.length >= MAX_REQUEST;
    const answered = isTooLarge
      ? Promise.resolve({ error: { desc: 'bad request: too large message' } })
      : forwards.answer(text);
    void answered.then(send, (error: unknown) => {
      log.error({ err: error }, 'the API of slirp4netns failed to answer: a bug in hawser');
      socket.destroy();
    });
  };
  const timer = setTimeout(answer, requestMs);
  socket.once('close', () => clearTimeout(timer));
  socket.setEncoding('utf8');
  socket.on('error', () => socket.destroy());
  socket.setTimeout(quietMs, answer);
  socket.on('end', answer);
  socket.on('data', (part: string) => {
    if (isAnswered) return;
    text += part;
    if (text.length >= MAX_REQUEST || parseJson(text) !== undefined) answer();
  });
}
