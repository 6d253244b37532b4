/** Multiplexer links over sockets of the host: Unix sockets and TCP, listened on or dialled. */
import { connect, type Socket } from 'node:net';
import type { Log } from '../../base/log.ts';
import type { LinkSocket } from '../../native/socket-over-handle.ts';
import { keepaliveOptions } from '../../native/stream/keepalive-options.ts';
import type { MuxPeers, PeerLink } from '../../proxy/agent/peers.ts';
import { DIAL_LIMIT_MS } from '../dial-limit.ts';
import type { StreamAddress } from '../stream-address.ts';
import { closeServer, openServer } from '../stream-server.ts';
import type { MuxLinkState, OpenMuxLink } from './mux-link.ts';
import { type Attempt, Redialer } from './redialer.ts';

export interface StreamLinkContext {
  readonly peers: MuxPeers;
  readonly log: Log;
  /** Idle time before a peer on another host is probed, in s. */
  readonly keepaliveS?: number | undefined;
}

export interface PeerListenerContext extends StreamLinkContext {
  /** Of Unix sockets. */
  readonly socketMode: number;
}

export interface ListenOptions {
  /** Whether a peer at this address may connect; peers on Unix sockets have no address. */
  readonly admits?: (address: string) => boolean;
}

/** Every connection accepted is a peer. @throws LinkError */
export async function listenForPeers(
  link: PeerLink,
  address: StreamAddress,
  context: PeerListenerContext,
  options: ListenOptions = {},
): Promise<ListeningLink> {
  const listening = new ListeningLink(link, context, options);
  const { socketMode, keepaliveS } = context;
  const onSocket = (socket: Socket): void => listening.onSocket(socket);
  const server = await openServer(address, socketMode, onSocket, keepaliveS);
  listening.stop = () => closeServer(server);
  return listening;
}

export class ListeningLink implements OpenMuxLink {
  readonly name: string;
  readonly order: number;
  readonly state: MuxLinkState = 'listening';
  problem = '';
  stop: () => Promise<void> = () => Promise.resolve();
  private readonly context: StreamLinkContext;
  private readonly options: ListenOptions;

  constructor(link: PeerLink, context: StreamLinkContext, options: ListenOptions) {
    this.name = link.name;
    this.order = link.order;
    this.context = context;
    this.options = options;
  }

  onSocket(socket: LinkSocket): void {
    const { peers, log } = this.context;
    const from = socket.remoteAddress ?? '';
    const mayCome = this.options.admits?.(from) ?? true;
    if (!mayCome || !peers.hasRoom) {
      const why = mayCome ? 'there are too many peers' : 'its address is not allowed';
      log.warn({ link: this.name, from, why }, 'peer refused');
      this.problem = why;
      socket.on('error', () => {}); // it is being destroyed
      socket.destroy();
      return;
    }
    peers.addSocket(this, 'listener', socket, undefined, (why, error) => {
      this.problem = error?.message ?? why;
    });
  }

  close(): Promise<void> {
    return this.stop();
  }
}

/** Dial, and redial whenever the link is down. */
export function dialStream(
  link: PeerLink,
  address: StreamAddress,
  context: StreamLinkContext,
  limitMs: number = DIAL_LIMIT_MS,
): Redialer {
  const onSocket = (socket: Socket, attempt: Attempt): void => {
    attempt.onConnected();
    const { keepAlive, keepAliveInitialDelay } = keepaliveOptions(context.keepaliveS);
    socket.setKeepAlive(keepAlive, keepAliveInitialDelay);
    context.peers.addSocket(link, 'connector', socket, undefined, attempt.onEnd);
  };
  return new Redialer(link, context.log, (attempt) =>
    connectPaused(address, attempt, (socket) => onSocket(socket, attempt), limitMs),
  ).start();
}

/**
 * @param onSocket the socket is connected and paused, and has no listeners
 * @returns gives up what is still under way, of which nothing more is heard
 */
export function connectPaused(
  address: StreamAddress,
  attempt: Pick<Attempt, 'onFailed'>,
  onSocket: (socket: Socket) => void,
  limitMs: number = DIAL_LIMIT_MS,
): () => void {
  const socket = connect('path' in address ? { path: address.path } : { ...address });
  socket.pause();
  const onError = (error: Error): void => {
    clearTimeout(timer);
    attempt.onFailed(error.message);
  };
  const onConnect = (): void => {
    clearTimeout(timer);
    socket.off('error', onError);
    onSocket(socket);
  };
  const timer = setTimeout(() => {
    socket.destroy(new Error(`no answer within ${limitMs} ms`));
  }, limitMs);
  socket.once('error', onError);
  socket.once('connect', onConnect);
  return () => {
    if (!socket.connecting) return;
    clearTimeout(timer);
    socket.off('error', onError);
    socket.destroy();
  };
}
