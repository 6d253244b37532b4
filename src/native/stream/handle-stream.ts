/**
 * {@link HostStream} directly over a libuv handle.
 *
 * States: `open` until an end each way, a failure, or the owner's reset; then the handle is closed
 * and nothing more is told. A write that the kernel takes at once, the usual case, allocates nothing:
 * the request object is used up only by a write that has to wait, and then replaced.
 */
import { getSystemErrorName } from 'node:util';
import { assert } from '../../base/assert.ts';
import type { SocketName, StreamBindings, StreamHandle, WriteRequest } from './bindings.ts';
import { type HostStream, type HostStreamOwner, READ_BUFFER } from './host-stream.ts';

/** libuv's, on every system. */
const UV_EOF = -4095;
const OWNER = Symbol('stream');

type OwnedHandle = StreamHandle & { [OWNER]?: HandleStream };

export class HandleStream implements HostStream {
  private readonly bindings: StreamBindings;
  private readonly handle: OwnedHandle;
  private owner: HostStreamOwner | undefined = undefined;
  private buffer: Uint8Array = READ_BUFFER;
  private spare: WriteRequest | undefined = undefined;
  private peerEnded = false;
  private shuttingDown = false;
  private ended = false;
  private closed = false;
  private names: { readonly remote: SocketName; readonly local: SocketName } | undefined =
    undefined;

  /** @param handle connected; it belongs to the stream from now on */
  constructor(bindings: StreamBindings, handle: StreamHandle) {
    this.bindings = bindings;
    this.handle = handle;
  }

  get remoteAddress(): string | undefined {
    return this.names?.remote.address ?? this.readNames().remote.address;
  }

  get remotePort(): number | undefined {
    return this.names?.remote.port ?? this.readNames().remote.port;
  }

  get localAddress(): string | undefined {
    return this.names?.local.address ?? this.readNames().local.address;
  }

  get localPort(): number | undefined {
    return this.names?.local.port ?? this.readNames().local.port;
  }

  start(owner: HostStreamOwner, paused = false, buffer: Uint8Array = READ_BUFFER): void {
    this.owner = owner;
    this.buffer = buffer;
    this.handle[OWNER] = this;
    this.handle.onread = onRead;
    this.handle.useUserBuffer(buffer);
    if (!paused) this.resume();
  }

  write(bytes: Uint8Array): boolean {
    if (this.closed) return false;
    const { bindings } = this;
    const req = this.spare ?? new bindings.WriteWrap();
    this.spare = req;
    const status = this.handle.writeBuffer(req, bytes);
    if (status !== 0) {
      this.fail(status);
      return false;
    }
    if (bindings.streamBaseState[bindings.kLastWriteWasAsync] === 0) return true;
    this.spare = undefined;
    req.bytes = bytes;
    req.oncomplete = (result): void => this.onWriteComplete(result);
    return false;
  }

  end(): void {
    if (this.closed || this.shuttingDown || this.ended) return;
    const req = new this.bindings.ShutdownWrap();
    req.oncomplete = (status): void => this.onShutdown(status);
    this.shuttingDown = true;
    const status = this.handle.shutdown(req);
    if (status !== 0) this.fail(status);
  }

  resume(): void {
    if (this.closed || this.peerEnded) return;
    const status = this.handle.readStart();
    if (status !== 0) this.fail(status);
  }

  /**
   * While a shutdown is under way libuv refuses to reset (EINVAL): such a stream is closed, after all
   * that it had to send. So is a Unix socket.
   */
  reset(): void {
    if (this.closed) return;
    this.closed = true;
    this.owner = undefined;
    if (this.shuttingDown || this.handle.reset === undefined || this.handle.reset() !== 0) {
      this.handle.close();
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.owner = undefined;
    this.handle.close();
  }

  private readNames(): { readonly remote: SocketName; readonly local: SocketName } {
    const remote: SocketName = {};
    const local: SocketName = {};
    if (!this.closed) {
      this.handle.getpeername?.(remote);
      this.handle.getsockname?.(local);
    }
    this.names = { remote, local };
    return this.names;
  }

  /** @internal called by libuv through the handle */
  onRead(): void {
    const { owner, bindings } = this;
    const result = bindings.streamBaseState[bindings.kReadBytesOrError] ?? 0;
    if (result === 0 || owner === undefined) return; // 0: nothing to read after all
    if (result > 0) {
      if (!owner.onHostBytes(this.buffer, result) && !this.closed) this.handle.readStop();
      return;
    }
    if (result !== UV_EOF) {
      this.fail(result);
      return;
    }
    this.peerEnded = true;
    owner.onHostEnd();
    this.closeWhenEnded();
  }

  private onWriteComplete(status: number): void {
    if (this.closed) return;
    if (status === 0) this.owner?.onHostWritten();
    else this.fail(status);
  }

  private onShutdown(status: number): void {
    this.shuttingDown = false;
    if (this.closed) return;
    this.ended = true;
    if (status === 0) this.closeWhenEnded();
    else this.fail(status);
  }

  private closeWhenEnded(): void {
    if (this.peerEnded && this.ended) this.finish(undefined);
  }

  private fail(status: number): void {
    assert(status < 0, 'a failure has a negative status');
    this.finish(getSystemErrorName(status));
  }

  private finish(code: string | undefined): void {
    const { owner } = this;
    this.close();
    owner?.onHostClosed(code);
  }
}

/** One function for all handles. */
function onRead(this: OwnedHandle): void {
  this[OWNER]?.onRead();
}
