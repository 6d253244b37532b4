/**
 * AF_VSOCK stream sockets, for the multiplexer's links: the host's end (`vsock:CID:PORT`) and, in a
 * guest, the agent's. Node drives the descriptors by its own handles, which ask nothing of the address family.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { pipeOver } from './adopt.ts';
import * as n from './constants.ts';
import { NativeUnavailableError, PosixError } from './errors.ts';
import { bindLibc, type NativeHost, THIS_HOST } from './libc.ts';
import { type SocketReader, socketOverHandle } from './socket-over-handle.ts';

const AF_VSOCK = 40;
const SOCKADDR_VM_LEN = 16;
const VMADDR_CID_ANY = 0xffff_ffff;
const SO_VM_SOCKETS_CONNECT_TIMEOUT = 6;
const CONNECT_TIMEOUT_S = 1;
const TCP_SERVER = 1;

/** Without koffi there are other ways for the bytes. */
const ADVICE =
  'install the optional package koffi, or let socat carry it: socat VSOCK-LISTEN:PORT,fork UNIX-CONNECT:PATH';

type AsyncCall = {
  async(
    fd: number,
    address: Uint8Array,
    len: number,
    done: (error: Error | null, result: number) => void,
  ): void;
};

export function vsockAddress(cid: number, port: number): Uint8Array {
  const address = new Uint8Array(SOCKADDR_VM_LEN);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_VSOCK, true);
  view.setUint32(4, port, true);
  view.setUint32(8, cid, true);
  return address;
}

/**
 * Connect; in a thread of libuv's pool, for a second at most.
 *
 * @throws NativeUnavailableError, PosixError when there can be no such socket here
 */
export function connectVsock(
  cid: number,
  port: number,
  onDone: (fd: number | undefined, problem: string) => void,
  host: NativeHost = THIS_HOST,
): void {
  const where = `vsock:${cid}:${port}`;
  const c = bindVsock(`connect to ${where}`, host);
  const fd = c.socket(AF_VSOCK, n.SOCK_STREAM | n.SOCK_CLOEXEC, 0);
  if (fd < 0) throw noSocket(`cannot connect to ${where}`, c.errno());
  const timeout = new Uint8Array(16);
  new DataView(timeout.buffer).setBigInt64(0, BigInt(CONNECT_TIMEOUT_S), true);
  c.setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, timeout, timeout.length);
  const address = vsockAddress(cid, port);
  c.connect.async(fd, address, SOCKADDR_VM_LEN, (error, result) => {
    void address.length; // koffi keeps no reference while the call is under way
    if (error === null && result === 0) {
      onDone(fd, '');
      return;
    }
    c.close(fd);
    onDone(undefined, `nothing answers at ${where}`);
  });
}

/** A socket over a connected descriptor, paused. */
export const vsockSocket = (fd: number): Socket =>
  socketOverHandle(pipeOver(fd), NOT_READ, { paused: true });

/** It is handed on before it reads. */
const NOT_READ: SocketReader = { buffer: new Uint8Array(1), callback: () => false };

/**
 * Listen on a port of this machine's own vsock.
 *
 * @throws NativeUnavailableError, PosixError
 */
export function listenVsock(
  port: number,
  onSocket: (socket: Socket) => void,
  host: NativeHost = THIS_HOST,
): Promise<Server> {
  const what = `cannot listen on vsock:${port}`;
  const c = bindVsock(`listen on vsock:${port}`, host);
  const fd = c.socket(AF_VSOCK, n.SOCK_STREAM | n.SOCK_NONBLOCK | n.SOCK_CLOEXEC, 0);
  if (fd < 0) throw noSocket(what, c.errno());
  if (c.bind(fd, vsockAddress(VMADDR_CID_ANY, port), SOCKADDR_VM_LEN) < 0) {
    const errno = c.errno();
    c.close(fd);
    throw new PosixError(what, errno);
  }
  const server = createServer({ pauseOnConnect: true }, onSocket);
  const handle = tcpServerOver(fd);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(handle, () => resolve(server));
  });
}

/** `net.Server` takes libuv's TCP handles only; libuv asks nothing of the address family. */
function tcpServerOver(fd: number): object {
  const binding: unknown = Reflect.get(process, 'binding');
  if (typeof binding !== 'function') {
    throw new NativeUnavailableError('listen on a vsock', 'this Node has no process.binding');
  }
  const { TCP }: { TCP: new (type: number) => { open(fd: number): number } } = binding.call(
    process,
    'tcp_wrap',
  );
  const handle = new TCP(TCP_SERVER);
  const errno = handle.open(fd);
  if (errno !== 0) throw new NativeUnavailableError('listen on a vsock', `libuv says ${errno}`);
  return handle;
}

function bindVsock(wanted: string, host: NativeHost) {
  let koffi: ReturnType<NativeHost['requireKoffi']>;
  try {
    koffi = host.requireKoffi();
  } catch (cause) {
    throw new NativeUnavailableError(wanted, ADVICE, { cause });
  }
  const connect: AsyncCall & ((...args: never) => unknown) = koffi
    .load(null)
    .func('int connect(int fd, const void *address, unsigned int len)');
  return { ...bindLibc(wanted, host), connect };
}

function noSocket(what: string, errno: number): PosixError {
  return new PosixError(what, errno, 'this kernel has no vsock; load the module vsock');
}
