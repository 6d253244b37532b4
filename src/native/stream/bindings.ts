/**
 * libuv's stream handles as Node wraps them: internal to Node, typed here as far as `handle-stream.ts`
 * uses them. `net.Socket` over such a handle costs more than the system calls of a short connection.
 */

/** `this` of the callbacks is the handle. */
export interface StreamHandle {
  /** The value returned is the buffer from now on, where a user buffer is in use. */
  onread: (this: StreamHandle) => Uint8Array | undefined;
  /** Negative when it is closed, and on Windows. */
  readonly fd?: number;
  readStart(): number;
  readStop(): number;
  /** Read into `buffer` instead of one that is allocated for each read. */
  useUserBuffer(buffer: Uint8Array): void;
  writeBuffer(req: WriteRequest, bytes: Uint8Array): number;
  shutdown(req: ShutdownRequest): number;
  close(done?: () => void): void;
  /** TCP only: close with RST. */
  reset?(done?: () => void): number;
  setNoDelay?(on: boolean): number;
  setKeepAlive?(on: boolean, delaySeconds: number): number;
  getpeername?(out: SocketName): number;
  getsockname?(out: SocketName): number;
}

export interface SocketName {
  address?: string;
  port?: number;
}

export interface TcpHandle extends StreamHandle {
  bind(address: string, port: number, flags: number): number;
  bind6(address: string, port: number, flags: number): number;
  connect(req: ConnectRequest, address: string, port: number): number;
  connect6(req: ConnectRequest, address: string, port: number): number;
}

export interface PipeHandle extends StreamHandle {
  connect(req: ConnectRequest, path: string): number;
}

export interface ConnectRequest {
  oncomplete: (status: number) => void;
}

export interface WriteRequest {
  oncomplete: (status: number) => void;
  /** Protects the written bytes from garbage collection. */
  bytes: Uint8Array | undefined;
}

export interface ShutdownRequest {
  oncomplete: (status: number) => void;
}

export interface StreamBindings {
  readonly TCP: new (type: number) => TcpHandle;
  readonly TCPConnectWrap: new () => ConnectRequest;
  readonly Pipe: new (type: number) => PipeHandle;
  readonly PipeConnectWrap: new () => ConnectRequest;
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  /** Results of the last call, by the indices below. */
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

/** Kind of handle: an ordinary socket. */
export const SOCKET_HANDLE = 0;

/** Null in a Node that does not have them; `net.Socket` is used then. */
export const STREAM_BINDINGS: StreamBindings | null = load();

function load(): StreamBindings | null {
  const binding: unknown = Reflect.get(process, 'binding');
  if (typeof binding !== 'function') return null;
  try {
    const all = {
      ...binding.call(process, 'stream_wrap'),
      ...binding.call(process, 'tcp_wrap'),
      ...binding.call(process, 'pipe_wrap'),
    };
    return isComplete(all) ? all : null;
  } catch {
    return null; // no such binding
  }
}

function isComplete(all: Readonly<Record<string, unknown>>): all is StreamBindings & typeof all {
  const classes = ['TCP', 'TCPConnectWrap', 'Pipe', 'PipeConnectWrap', 'WriteWrap', 'ShutdownWrap'];
  return (
    classes.every((name) => typeof all[name] === 'function') &&
    all['streamBaseState'] instanceof Int32Array &&
    typeof all['kReadBytesOrError'] === 'number' &&
    typeof all['kLastWriteWasAsync'] === 'number'
  );
}
