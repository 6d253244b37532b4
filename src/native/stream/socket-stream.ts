/** {@link HostStream} over `net.Socket`, for a Node without the handles of `bindings.ts`. */
import type { Socket } from 'node:net';
import { errorCode } from '../errors.ts';
import { adoptAccepted } from '../socket-over-handle.ts';
import { type HostStream, type HostStreamOwner, READ_BUFFER } from './host-stream.ts';

/** What `onread` of a socket is, before there is an owner. */
export class SocketStream implements HostStream {
  private readonly socket: Socket;
  private owner: HostStreamOwner | undefined = undefined;
  private failure: string | undefined = undefined;
  private ended = false;

  /** @param socket connected and paused, with `allowHalfOpen`; it belongs to the stream from now on */
  constructor(socket: Socket) {
    const callback = (len: number, bytes: Uint8Array): boolean =>
      this.owner?.onHostBytes(bytes, len) ?? false;
    const options = { allowHalfOpen: true, paused: true };
    this.socket = adoptAccepted(socket, { buffer: READ_BUFFER, callback }, options);
    this.socket.on('end', () => this.owner?.onHostEnd());
    this.socket.on('error', (error) => {
      this.failure = errorCode(error);
    });
    this.socket.on('close', () => this.owner?.onHostClosed(this.failure));
  }

  get remoteAddress(): string | undefined {
    return this.socket.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.socket.remotePort;
  }

  get localAddress(): string | undefined {
    return this.socket.localAddress;
  }

  get localPort(): number | undefined {
    return this.socket.localPort;
  }

  start(owner: HostStreamOwner, paused = false): void {
    this.owner = owner;
    if (!paused) this.socket.resume();
  }

  write(bytes: Uint8Array): boolean {
    this.socket.write(bytes, (error) => {
      if (error === undefined || error === null) this.owner?.onHostWritten();
    });
    return false;
  }

  end(): void {
    this.ended = true;
    this.socket.end();
  }

  resume(): void {
    this.socket.resume();
  }

  /**
   * Node throws when a Unix socket is to be reset. While a shutdown is under way libuv refuses (EINVAL),
   * and Node then loses the handle; such a socket was ended after all that it had to send.
   */
  reset(): void {
    this.owner = undefined;
    const isShuttingDown = this.ended && !this.socket.writableFinished;
    if (isShuttingDown) {
      this.socket.destroy();
      return;
    }
    try {
      this.socket.resetAndDestroy();
    } catch {
      this.socket.destroy();
    }
  }
}
