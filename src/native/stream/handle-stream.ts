/**
 * {@link HostStream} directly over a libuv handle.
 *
 * States: `open` until an end in each direction, a failure, or the owner's reset; then the handle is closed
 * and the owner is not called any more. A write that the kernel accepts at once, the usual case, allocates nothing:
 * the request object, one for all streams, is consumed only by a write that has to wait.
 */
import { getSystemErrorName } from 'node:util';
import { assert } from '../../base/assert.ts';
import { reportFault } from '../../base/faults.ts';
import { loadedPosix } from '../load.ts';
import type { SocketName, StreamBindings, StreamHandle, WriteRequest } from './bindings.ts';
import { type HostStream, type HostStreamOwner, READ_BUFFER } from './host-stream.ts';

/** libuv's, on every system. */
const UV_EOF = -4095;
const OWNER = Symbol('stream');

/** Whose bytes were read last, of all streams. */
let lastRead: HandleStream | undefined;

/** For the next write that may have to wait. */
let spare: WriteRequest | undefined;

type OwnedHandle = StreamHandle & { [OWNER]?: HandleStream };

export class HandleStream implements HostStream {
  private readonly bindings: StreamBindings;
  private readonly handle: OwnedHandle;
  private owner: HostStreamOwner | undefined = undefined;
  private ownBuffer: Uint8Array = READ_BUFFER;
  /** The destination of the next read: `ownBuffer`, or a buffer lent by the owner. */
  private buffer: Uint8Array = READ_BUFFER;
  private peerEnded = false;
  /** What was read last, an end or a failure, while the owner waits with it. */
  private heldEnd: number | undefined = undefined;
  private writing = false;
  private shuttingDown = false;
  private ended = false;
  private closed = false;
  /** It failed while it had no owner, who hears of it once there is one. */
  private failedEarly: string | undefined = undefined;
  private remote: SocketName | undefined = undefined;
  private local: SocketName | undefined = undefined;
  /** Nagle's algorithm is on, which concerns what is written while a short segment is on its way. */
  private isNagled: boolean;
  private wasWritten = false;
  /** The handle reads, and nobody is ready for it: until the end of the callback that this is in. */
  private readsEarly: boolean;

  /**
   * @param handle connected; it belongs to the stream from now on
   * @param isNagled Nagle's algorithm is to be turned off before it delays anything: many a connection ends before that
   * @param readsEarly it is being read, and {@link settle} follows before the callback that this is in ends
   */
  constructor(
    bindings: StreamBindings,
    handle: StreamHandle,
    isNagled = false,
    readsEarly = false,
  ) {
    this.bindings = bindings;
    this.handle = handle;
    this.isNagled = isNagled;
    this.readsEarly = readsEarly;
  }

  /** @internal Whoever was given the stream has done what was to be done at once. */
  settle(): void {
    if (this.readsEarly) this.pause();
  }

  get remoteAddress(): string | undefined {
    return this.remoteName.address;
  }

  get remotePort(): number | undefined {
    return this.remoteName.port;
  }

  get localAddress(): string | undefined {
    return this.localName.address;
  }

  get localPort(): number | undefined {
    return this.localName.port;
  }

  start(owner: HostStreamOwner, paused = false, buffer: Uint8Array = READ_BUFFER): void {
    this.owner = owner;
    const { failedEarly } = this;
    if (failedEarly !== undefined) {
      setImmediate(() => this.reportEarly(failedEarly));
      return;
    }
    this.ownBuffer = buffer;
    this.buffer = buffer;
    this.handle[OWNER] = this;
    this.handle.onread = onRead;
    this.handle.useUserBuffer(buffer);
    if (!paused) this.resume();
  }

  write(all: Uint8Array, off = 0, len: number = all.length): boolean {
    if (this.closed) return false;
    if (this.isNagled) this.sendAtOnce();
    const { bindings } = this;
    spare ??= new bindings.WriteWrap();
    const req = spare;
    const bytes = len === all.length ? all : all.subarray(off, off + len);
    const status = this.handle.writeBuffer(req, bytes);
    if (status !== 0) {
      this.fail(status);
      return false;
    }
    if (bindings.streamBaseState[bindings.kLastWriteWasAsync] === 0) return true;
    spare = undefined;
    this.writing = true;
    req.bytes = bytes;
    req.oncomplete = (result): void => this.onWriteComplete(result);
    return false;
  }

  /** By the call itself: libuv keeps what does not fit, whose buffer would have to stay. */
  tryWrite(bytes: Uint8Array, off: number, len: number): number {
    const posix = loadedPosix();
    const { fd = -1 } = this.handle;
    if (posix === undefined || fd < 0 || this.closed || this.writing) return 0;
    if (this.shuttingDown || this.ended) return 0;
    if (this.isNagled) this.sendAtOnce();
    return Math.max(posix.write(fd, bytes, off, len), 0);
  }

  /** What is written first meets nothing on its way (RFC 9293 §3.7.4). */
  private sendAtOnce(): void {
    if (this.wasWritten) {
      this.isNagled = false;
      this.handle.setNoDelay?.(true);
    }
    this.wasWritten = true;
  }

  get peerUid(): number | undefined {
    const { fd = -1, reset } = this.handle;
    return reset === undefined && fd >= 0 ? loadedPosix()?.peerUid(fd) : undefined;
  }

  get isPeerGone(): boolean {
    const { fd = -1, reset } = this.handle;
    if (reset !== undefined || this.closed || fd < 0) return false;
    return loadedPosix()?.isBroken(fd) === true;
  }

  setSendBuffer(bytes: number): boolean {
    const posix = loadedPosix();
    const { fd = -1, reset } = this.handle;
    if (reset !== undefined) return true; // TCP
    if (posix === undefined || this.closed || fd < 0) return false;
    posix.setSendBuffer(fd, bytes);
    return true;
  }

  end(): void {
    if (this.closed || this.shuttingDown || this.ended) return;
    if (this.peerEnded && !this.writing) {
      this.finish(undefined); // a close sends FIN too, after everything that was written
      return;
    }
    if (!this.writing && this.endNow()) {
      this.ended = true;
      return;
    }
    const req = new this.bindings.ShutdownWrap();
    req.oncomplete = (status): void => this.onShutdown(status);
    this.shuttingDown = true;
    const status = this.handle.shutdown(req);
    if (status !== 0) this.fail(status);
  }

  /** By the call itself: libuv's takes a turn, two more system calls and a callback. */
  private endNow(): boolean {
    const { fd = -1 } = this.handle;
    return fd >= 0 && loadedPosix()?.endWriting(fd) === true;
  }

  pause(): void {
    this.readsEarly = false;
    if (!this.closed) this.handle.readStop();
  }

  resume(): void {
    const { heldEnd, owner } = this;
    if (this.closed || this.peerEnded || owner === undefined) return;
    if (this.readsEarly) {
      this.readsEarly = false;
      return;
    }
    if (heldEnd !== undefined) {
      this.passEnd(owner, heldEnd);
      return;
    }
    const status = this.handle.readStart();
    if (status !== 0) this.fail(status);
  }

  /**
   * While a shutdown is pending libuv refuses to reset (EINVAL): such a stream is closed, after everything
   * that it had to send. So is a Unix socket.
   */
  reset(): void {
    this.owner = undefined;
    if (this.closed) return;
    this.closed = true;
    if (this.shuttingDown || this.handle.reset === undefined || this.handle.reset() !== 0) {
      this.handle.close();
    }
  }

  close(): void {
    this.owner = undefined;
    if (this.closed) return;
    this.closed = true;
    this.handle.close();
  }

  private get remoteName(): SocketName {
    this.remote ??= this.readName('getpeername');
    return this.remote;
  }

  private get localName(): SocketName {
    this.local ??= this.readName('getsockname');
    return this.local;
  }

  /** Empty for a Unix socket, and once the peer has gone. */
  private readName(which: 'getpeername' | 'getsockname'): SocketName {
    const name: SocketName = {};
    if (!this.closed) this.handle[which]?.(name);
    return name;
  }

  /**
   * @internal called by libuv through the handle
   *
   * @returns the buffer for further reads; undefined to keep the current one
   */
  onRead(): Uint8Array | undefined {
    const { owner, bindings, buffer, ownBuffer } = this;
    const result = bindings.streamBaseState[bindings.kReadBytesOrError] ?? 0;
    if (owner === undefined) return undefined;
    if (result < 0) {
      if (buffer !== ownBuffer) owner.onHostBytes(buffer, 0);
      const end = this.endFor(result);
      if (end === undefined) this.handle.readStart();
      else if (owner.mayHostEnd?.() === false) this.heldEnd = end;
      else this.onReadEnd(owner, end);
      return undefined;
    }
    lastRead = this;
    if (result === 0 && buffer === ownBuffer) return undefined; // nothing to read after all
    const more = owner.onHostBytes(buffer, result);
    if (this.closed) return undefined;
    if (!more) this.handle.readStop();
    const isFull = more && result === buffer.length;
    this.buffer = (isFull ? owner.onHostMore?.() : undefined) ?? ownBuffer;
    return this.buffer === buffer ? undefined : this.buffer;
  }

  /**
   * Where a reset comes behind bytes, libuv says at once after them that this is the end, without a look at what it was.
   *
   * @returns what has ended the stream; undefined: the next read says it
   */
  private endFor(result: number): number | undefined {
    if (result !== UV_EOF || lastRead !== this) return result;
    lastRead = undefined;
    const { fd = -1 } = this.handle;
    const failure = fd < 0 ? undefined : loadedPosix()?.readFailure(fd);
    if (failure === undefined) return undefined;
    return failure < 0 ? failure : result;
  }

  private passEnd(owner: HostStreamOwner, result: number): void {
    this.heldEnd = undefined;
    try {
      this.onReadEnd(owner, result);
    } catch (fault) {
      this.onFault(fault);
    }
  }

  private onReadEnd(owner: HostStreamOwner, result: number): void {
    if (result !== UV_EOF) {
      this.fail(result);
      return;
    }
    this.peerEnded = true;
    owner.onHostEnd();
    this.closeWhenEnded();
  }

  private onWriteComplete(status: number): void {
    this.writing = false;
    if (this.closed) return;
    try {
      if (status === 0) this.owner?.onHostWritten();
      else this.fail(status);
    } catch (fault) {
      this.onFault(fault);
    }
  }

  private onShutdown(status: number): void {
    this.shuttingDown = false;
    if (this.closed) return;
    this.ended = true;
    try {
      if (status === 0) this.closeWhenEnded();
      else this.fail(status);
    } catch (fault) {
      this.onFault(fault);
    }
  }

  /** @internal The owner has thrown: both sides of its flow are reset. */
  onFault(fault: unknown): void {
    const { owner } = this;
    this.reset(); // first: where nobody watches, the fault is thrown on
    reportFault('stream', fault);
    try {
      owner?.onHostClosed('EFAULT');
    } catch (again) {
      reportFault('stream', again);
    }
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
    if (owner === undefined) this.failedEarly = code;
    else owner.onHostClosed(code);
  }

  private reportEarly(code: string): void {
    const { owner } = this;
    this.owner = undefined;
    try {
      owner?.onHostClosed(code);
    } catch (fault) {
      reportFault('stream', fault);
    }
  }
}

/** One function for all handles. */
function onRead(this: OwnedHandle): Uint8Array | undefined {
  const stream = this[OWNER];
  if (stream === undefined) return undefined;
  try {
    return stream.onRead();
  } catch (fault) {
    stream.onFault(fault);
    return undefined;
  }
}
