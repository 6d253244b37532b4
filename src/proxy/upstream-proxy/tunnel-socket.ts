/** A connection through a proxy, or without one, as a Node socket: for requests of HTTP that are passed on. */
import type { Socket } from 'node:net';
import { errorCode } from '../../native/errors.ts';
import { ANY_OUTBOUND } from '../../native/stream/connect-stream.ts';
import {
  type Handshake,
  type HandshakeStep,
  isFailure,
  type ProxyFailure,
  proxyFailure,
} from '../../services/upstream-proxy/handshake.ts';
import type { ProxyServer } from '../../services/upstream-proxy/proxy-server.ts';
import { FirstAddress, type StartAttempt } from './first-address.ts';
import { LastingSocket } from './lasting-socket.ts';
import { PATIENCE_MS, type ProxyDialDeps } from './proxy-dial.ts';

export interface SocketPlace {
  /** A name is resolved by the host. */
  readonly host: string;
  readonly port: number;
}

/** What became of it: a socket, which is read from the end of this turn on; or why there is none. */
export type OnSocket = (result: Socket | ProxyFailure) => void;

/**
 * @param handshake by which the proxy at `place` is asked; absent: nothing is asked
 * @param isHalfOpen it stays open when the other end has ended: not for one that waits for its next request
 * @returns a function that gives up
 */
export function openSocket(
  deps: ProxyDialDeps,
  place: SocketPlace | ProxyServer,
  handshake: Handshake | undefined,
  onSocket: OnSocket,
  isHalfOpen = false,
): () => void {
  const { patienceMs = PATIENCE_MS } = deps;
  const reached = (why?: string): void => {
    if (!('scheme' in place)) return;
    if (why === undefined) deps.reach?.found(place);
    else deps.reach?.missed(place, why);
  };
  let socket: Socket | undefined;
  let connecting: FirstAddress<Socket> | undefined;
  let isOver = false;
  const end = (result: Socket | ProxyFailure): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    connecting?.cancel();
    if (result !== socket) socket?.destroy();
    onSocket(result);
  };
  const timer = setTimeout(() => {
    if (socket === undefined) reached('ETIMEDOUT');
    end(proxyFailure('ETIMEDOUT', `${place.host} does not answer within ${patienceMs} ms`));
  }, patienceMs).unref();
  deps.names.resolve(place.host, (found) => {
    if (isOver) return;
    if (typeof found === 'string') {
      reached(found);
      end(proxyFailure('EHOSTUNREACH', `${place.host} cannot be resolved: ${found}`));
      return;
    }
    connecting = new FirstAddress<Socket>(found, startSocket(deps, place.port, isHalfOpen), {
      onConnected: (made) => {
        socket = made;
        reached();
        made.on('error', (error) =>
          end(proxyFailure('EHOSTUNREACH', `${place.host} has failed: ${errorCode(error)}`)),
        );
        if (handshake === undefined) end(made);
        else ask(made, handshake, end);
      },
      onConnectFailed: (code) => {
        reached(code);
        end(proxyFailure('EHOSTUNREACH', `${place.host} cannot be reached: ${code}`));
      },
    });
  });
  return () => end(proxyFailure('ECANCELED', 'given up'));
}

const startSocket =
  ({ options }: ProxyDialDeps, port: number, allowHalfOpen: boolean): StartAttempt<Socket> =>
  (host, owner) => {
    const { ipv4, ipv6 } = options.outbound ?? ANY_OUTBOUND;
    const isLocal = host.startsWith('127.') || host === '::1';
    const from = isLocal ? undefined : host.includes(':') ? ipv6 : ipv4;
    const source = from === undefined ? {} : { localAddress: from };
    const socket = new LastingSocket({ allowHalfOpen }).setNoDelay();
    socket.connect({ host, port, ...source });
    const onError = (error: Error): void => owner.onConnectFailed(errorCode(error));
    const onConnect = (): void => {
      socket.off('error', onError);
      owner.onConnected(socket);
    };
    socket.once('error', onError).once('connect', onConnect);
    const cancel = (): void => {
      socket.off('error', onError).off('connect', onConnect);
      socket.on('error', () => {}).destroy();
    };
    return { cancel };
  };

function ask(socket: Socket, handshake: Handshake, end: OnSocket): void {
  const onData = (bytes: Buffer): void => take(handshake.push(bytes, 0, bytes.length), bytes);
  const onEnd = (): void =>
    end(proxyFailure('EHOSTUNREACH', 'the proxy has ended the connection without an answer'));
  const take = (step: HandshakeStep, bytes: Buffer): void => {
    if (step === 'more') return;
    if (isFailure(step)) end(step);
    else if ('send' in step) socket.write(step.send);
    else {
      socket.off('data', onData).off('end', onEnd).off('close', onEnd).pause();
      if (step.at < bytes.length) socket.unshift(bytes.subarray(step.at));
      end(socket);
      setImmediate(() => socket.resume()); // a listener alone does not, where a stream was paused
    }
  };
  socket.on('data', onData).on('end', onEnd).on('close', onEnd);
  socket.write(handshake.hello);
}
