/**
 * {@link HostStream} over `net.Socket`, for a Node without the handles of `bindings.ts`, or over an
 * equivalent.
 */
import { reportFault } from '../../base/faults.ts';
import { errorCode } from '../errors.ts';
import { adoptAccepted, feedData, type LinkSocket } from '../socket-over-handle.ts';
import { type HostStream, type HostStreamOwner, READ_BUFFER } from './host-stream.ts';

export class SocketStream implements HostStream {
  private socket: LinkSocket;
  private readonly takesHandle: boolean;
  private owner: HostStreamOwner | undefined = undefined;
  private buffer: Uint8Array = READ_BUFFER;
  private isStarted = false;
  private failure: string | undefined = undefined;
  private ended = false;

  /**
   * @param socket connected and paused, with `allowHalfOpen`; it belongs to the stream from now on
   * @param takesHandle its handle may be read from in its stead
   */
  constructor(socket: LinkSocket, takesHandle = true) {
    this.socket = socket;
    this.takesHandle = takesHandle;
    this.socket.on('error', this.onError);
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

  start(owner: HostStreamOwner, paused = false, buffer: Uint8Array = READ_BUFFER): void {
    this.owner = owner;
    this.buffer = buffer;
    if (this.isStarted) {
      if (!paused) this.resume();
      return;
    }
    this.isStarted = true;
    const callback = (len: number, bytes: Uint8Array): boolean => this.onRead(bytes, len);
    const options = { allowHalfOpen: true, paused };
    const takesHandle = this.takesHandle && !hasFailed(this.socket);
    const socket = takesHandle
      ? adoptAccepted(this.socket, { buffer, callback }, options)
      : this.socket;
    this.socket = socket;
    if (!takesHandle) {
      feedData(socket, { buffer, callback });
      if (paused) socket.pause();
    }
    socket.on('end', () => this.guard((to) => to.onHostEnd()));
    socket.on('error', this.onError);
    socket.on('close', () =>
      this.guard((to) => {
        this.owner = undefined;
        to.onHostClosed(this.failure);
      }),
    );
  }

  write(bytes: Uint8Array, off = 0, len: number = bytes.length): boolean {
    this.socket.write(bytes.subarray(off, off + len), (error) => {
      if (error === undefined || error === null) this.guard((to) => to.onHostWritten());
    });
    return false;
  }

  get peerUid(): undefined {
    return undefined;
  }

  get isPeerGone(): boolean {
    return false;
  }

  setSendBuffer(): boolean {
    return false;
  }

  end(): void {
    this.ended = true;
    this.socket.end();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /**
   * Node throws when a Unix socket is to be reset. While a shutdown is pending libuv refuses (EINVAL),
   * and Node then loses the handle; such a socket was ended after everything that it had to send.
   */
  reset(): void {
    this.owner = undefined;
    const { socket } = this;
    const isShuttingDown = this.ended && !socket.writableFinished;
    if (isShuttingDown || socket.resetAndDestroy === undefined) {
      socket.destroy();
      return;
    }
    try {
      socket.resetAndDestroy();
    } catch {
      socket.destroy();
    }
  }

  close(): void {
    this.owner = undefined;
    this.socket.destroy();
  }

  private onRead(bytes: Uint8Array, len: number): boolean {
    const { buffer } = this;
    if (buffer !== bytes) buffer.set(bytes.subarray(0, len)); // that of an owner before
    let more = false;
    this.guard((to) => {
      more = to.onHostBytes(buffer, len);
    });
    return more;
  }

  /** Call the owner; where it throws, both sides of its flow are reset. */
  private guard(call: (owner: HostStreamOwner) => void): void {
    const { owner } = this;
    if (owner === undefined) return;
    try {
      call(owner);
    } catch (fault) {
      reportFault('stream', fault);
      if (this.owner === undefined) return; // the owner threw in its end callback
      this.reset();
      this.failure = 'EFAULT';
      try {
        owner.onHostClosed(this.failure);
      } catch (again) {
        reportFault('stream', again);
      }
    }
  }

  private readonly onError = (error: Error): void => {
    this.failure = errorCode(error);
  };
}

/** By a write that came before: its events are still to come. */
const hasFailed = ({ errored }: LinkSocket): boolean => errored !== undefined && errored !== null;
