/** Connects to a TCP address or a Unix socket. */
import { connect, type Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { reportFault } from '../../base/faults.ts';
import { errorCode } from '../errors.ts';
import {
  type ConnectRequest,
  type PipeHandle,
  SOCKET_HANDLE,
  STREAM_BINDINGS,
  type StreamBindings,
  type TcpHandle,
} from './bindings.ts';
import { HandleStream } from './handle-stream.ts';
import type { Connecting, ConnectOwner, HostStream, StreamTarget } from './host-stream.ts';
import { setKeepalive } from './keepalive.ts';
import { KEEPALIVE_DEFAULT_S } from './keepalive-options.ts';
import { SocketStream } from './socket-stream.ts';

/** Of the host, as sources. Undefined: the system picks one. */
export interface OutboundAddresses {
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
}

export const ANY_OUTBOUND: OutboundAddresses = { ipv4: undefined, ipv6: undefined };

export interface ConnectOptions {
  /** Where the connection comes from, to other hosts. Default: {@link ANY_OUTBOUND}. */
  readonly outbound?: OutboundAddresses;
  /** Idle time before the peer is probed, in s; 0: never. */
  readonly keepaliveS?: number;
  readonly bindings?: StreamBindings | null;
}

/**
 * TCP with Nagle's algorithm off, because the sender behind it decides which bytes go together, and with
 * keepalive where the peer is another host.
 *
 * @param target `host` is an address
 */
export function connectStream(
  target: StreamTarget,
  owner: ConnectOwner,
  options: ConnectOptions = {},
): Connecting {
  const { keepaliveS = KEEPALIVE_DEFAULT_S, bindings = STREAM_BINDINGS } = options;
  const from = sourceFor(target, options.outbound ?? ANY_OUTBOUND);
  return bindings === null
    ? new SocketConnect(target, from, owner, keepaliveS)
    : new HandleConnect(bindings, target, from, owner, keepaliveS);
}

/** A connect that could not begin: its owner is told as of any other. */
export function failedConnect(owner: ConnectOwner, code: string): Connecting {
  let isOver = false;
  process.nextTick(() => {
    if (!isOver) connectFailed(owner, code);
  });
  return {
    cancel: () => {
      isOver = true;
    },
  };
}

/** A peer on this host cannot vanish silently. */
const isLocal = (target: StreamTarget): boolean =>
  'path' in target || target.host.startsWith('127.') || target.host === '::1';

function sourceFor(target: StreamTarget, { ipv4, ipv6 }: OutboundAddresses): string | undefined {
  if ('path' in target || isLocal(target)) return undefined;
  return target.host.includes(':') ? ipv6 : ipv4;
}

class HandleConnect implements Connecting {
  private readonly bindings: StreamBindings;
  private readonly owner: ConnectOwner;
  private readonly handle: TcpHandle | PipeHandle;
  private readonly keepaliveS: number;
  private readsEarly = false;
  private over = false;

  constructor(
    bindings: StreamBindings,
    target: StreamTarget,
    from: string | undefined,
    owner: ConnectOwner,
    keepaliveS: number,
  ) {
    this.bindings = bindings;
    this.owner = owner;
    this.keepaliveS = isLocal(target) ? 0 : keepaliveS;
    let req: ConnectRequest;
    let status: number;
    if ('path' in target) {
      const handle = new bindings.Pipe(SOCKET_HANDLE);
      req = new bindings.PipeConnectWrap();
      status = handle.connect(req, target.path);
      this.handle = handle;
    } else {
      const { host, port } = target;
      const handle = new bindings.TCP(SOCKET_HANDLE);
      req = new bindings.TCPConnectWrap();
      // Not Node's isIPv6: its expression takes milliseconds at the first use.
      const is6 = host.includes(':');
      status = from === undefined ? 0 : bindFrom(handle, from, is6);
      if (status === 0) {
        status = is6 ? handle.connect6(req, host, port) : handle.connect(req, host, port);
      }
      // Else libuv stops to watch it once it is connected, and begins anew to read it: a system call more.
      if (status === 0) this.readsEarly = handle.readStart() === 0;
      this.handle = handle;
    }
    req.oncomplete = (result): void => this.onComplete(result);
    if (status !== 0) process.nextTick(() => this.onComplete(status));
  }

  cancel(): void {
    if (this.over) return;
    this.over = true;
    this.handle.close();
  }

  private onComplete(status: number): void {
    if (this.over) return;
    this.over = true;
    if (status !== 0) {
      this.handle.close();
      connectFailed(this.owner, getSystemErrorName(status));
      return;
    }
    setKeepalive(this.handle, this.keepaliveS);
    const stream = new HandleStream(this.bindings, this.handle, true, this.readsEarly);
    connected(this.owner, stream);
    stream.settle();
  }
}

const bindFrom = (handle: TcpHandle, from: string, is6: boolean): number =>
  is6 ? handle.bind6(from, 0, 0) : handle.bind(from, 0, 0);

class SocketConnect implements Connecting {
  private readonly socket: Socket;
  private readonly owner: ConnectOwner;

  constructor(
    target: StreamTarget,
    from: string | undefined,
    owner: ConnectOwner,
    keepaliveS: number,
  ) {
    this.owner = owner;
    const source = from === undefined ? {} : { localAddress: from };
    this.socket = connect({ ...target, ...source, allowHalfOpen: true, noDelay: true });
    if (keepaliveS > 0 && !isLocal(target)) this.socket.setKeepAlive(true, keepaliveS * 1000);
    this.socket.pause();
    this.socket.once('connect', this.onConnect);
    this.socket.once('error', this.onError);
  }

  cancel(): void {
    this.socket.off('connect', this.onConnect);
    this.socket.off('error', this.onError);
    this.socket.on('error', () => {}); // no listener is left
    this.socket.destroy();
  }

  private readonly onConnect = (): void => {
    this.socket.off('error', this.onError);
    connected(this.owner, new SocketStream(this.socket));
  };

  private readonly onError = (error: Error): void => {
    connectFailed(this.owner, errorCode(error));
  };
}

function connected(owner: ConnectOwner, stream: HostStream): void {
  try {
    owner.onConnected(stream);
  } catch (fault) {
    stream.reset(); // first: where nobody watches, the fault is thrown on
    reportFault('connect', fault);
    connectFailed(owner, 'EFAULT');
  }
}

function connectFailed(owner: ConnectOwner, code: string): void {
  try {
    owner.onConnectFailed(code);
  } catch (fault) {
    reportFault('connect', fault);
  }
}
