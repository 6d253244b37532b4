/**
 * vsock through the optional package node-vsock, where it is installed.
 *
 * It reads in a thread of its own and cannot be paused, so received bytes are buffered, bounded by the multiplexer's
 * windows. It writes in the main thread, and returns when the kernel has accepted everything. `end` ends both
 * directions; the descriptor may be closed only once the thread has seen that.
 */
import type { EventEmitter } from 'node:events';
import { Duplex } from 'node:stream';
import type { NativeHost } from './libc.ts';
import type { LinkSocket } from './socket-over-handle.ts';

/** The part of node-vsock's `VsockSocket` in use. Events: `data`, `end`, `error`, `close`. */
interface VsockSocket extends EventEmitter {
  connect(cid: number, port: number, onConnected: () => void): void;
  writeSync(bytes: Uint8Array): void;
  end(): void;
  destroy(): void;
  /** Not in every version. Without it a refusal is reported after five attempts in half a minute. */
  setMaxConnectionAttempts?(attempts: number): void;
}

/** Events: `connection`, `error`. */
interface VsockServer extends EventEmitter {
  listen(port: number): void;
  close(): void;
}

export interface NodeVsock {
  readonly VsockSocket: new () => VsockSocket;
  readonly VsockServer: new () => VsockServer;
}

/** @returns the error when it cannot be loaded */
export function loadNodeVsock(host: NativeHost): NodeVsock | Error {
  try {
    const module = host.requireNodeVsock();
    return isNodeVsock(module) ? module : new Error('it has no VsockSocket and VsockServer');
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

const isNodeVsock = (module: unknown): module is NodeVsock =>
  typeof module === 'object' &&
  module !== null &&
  'VsockSocket' in module &&
  typeof module.VsockSocket === 'function' &&
  'VsockServer' in module &&
  typeof module.VsockServer === 'function';

/** @param onDone called once, with the connection, paused; or with the error */
export function connectByNodeVsock(
  { VsockSocket }: NodeVsock,
  cid: number,
  port: number,
  onDone: (socket: LinkSocket | undefined, problem: string) => void,
): void {
  const socket = new VsockSocket();
  socket.setMaxConnectionAttempts?.(1);
  const onError = ({ message }: Error): void => {
    socket.on('error', () => {}); // further errors are ignored
    socket.destroy();
    onDone(undefined, message);
  };
  socket.once('error', onError);
  socket.connect(cid, port, () => {
    socket.off('error', onError);
    onDone(new NodeVsockStream(socket), '');
  });
}

/** @throws Error when the port cannot be bound */
export function listenByNodeVsock(
  { VsockServer }: NodeVsock,
  port: number,
  onSocket: (socket: LinkSocket) => void,
): VsockServer {
  const server = new VsockServer();
  server.on('error', () => {}); // an accept failed; the next one may not
  server.on('connection', (socket: VsockSocket) => onSocket(new NodeVsockStream(socket)));
  server.listen(port);
  return server;
}

class NodeVsockStream extends Duplex implements LinkSocket {
  private readonly socket: VsockSocket;
  /** The reading thread has ended. */
  private isReadOut = false;
  private isReleased = false;

  /** @param socket connected; nothing of it has been read */
  constructor(socket: VsockSocket) {
    super({ allowHalfOpen: false });
    this.socket = socket;
    socket.on('data', (bytes: Uint8Array) => {
      if (!this.isReleased) this.push(bytes);
    });
    socket.once('end', () => this.onReadOut(undefined));
    socket.on('error', (error: Error) => this.onReadOut(error));
    socket.once('close', () => this.onReadOut(undefined));
  }

  /** vsock sends at once. */
  setNoDelay(): this {
    return this;
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    try {
      this.socket.writeSync(bytes);
      done();
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.isReleased = true;
    try {
      this.socket.end();
    } catch {
      // the peer has ended it
    }
    if (this.isReadOut) this.socket.destroy();
    done(error);
  }

  private onReadOut(error: Error | undefined): void {
    const isFirst = !this.isReadOut;
    this.isReadOut = true;
    if (this.isReleased) this.socket.destroy();
    else if (error !== undefined) this.destroy(error);
    else if (isFirst) this.push(null);
  }
}
