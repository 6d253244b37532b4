/**
 * AF_VSOCK stream sockets, for the multiplexer's links: the host's end (`vsock:CID:PORT`) and, in a
 * guest, the agent's. By node-vsock where it is installed; else koffi creates the descriptors, and Node serves
 * them by its own handles, which are independent of the address family.
 */
import { createServer, type Socket } from 'node:net';
import { pipeOver } from './adopt.ts';
import * as n from './constants.ts';
import { NativeUnavailableError, PosixError } from './errors.ts';
import { bindLibc, type NativeHost, THIS_HOST } from './libc.ts';
import { connectByNodeVsock, listenByNodeVsock, loadNodeVsock } from './node-vsock.ts';
import { type LinkSocket, type SocketReader, socketOverHandle } from './socket-over-handle.ts';
import { startElsewhere } from './start-elsewhere.ts';

const AF_VSOCK = 40;
const SOCKADDR_VM_LEN = 16;
const VMADDR_CID_ANY = 0xffff_ffff;
const SO_VM_SOCKETS_CONNECT_TIMEOUT = 6;
const CONNECT_TIMEOUT_S = 1;
const TCP_SERVER = 1;

/** Alternatives without native calls. */
const ADVICE =
  'install one with `npm install koffi` or `npm install node-vsock`, or let socat carry the bytes: socat VSOCK-LISTEN:PORT,fork UNIX-CONNECT:PATH';

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
 * Connect; in a thread, for a second or so at most.
 *
 * @param onDone called once, with a paused socket; or with the error
 * @throws NativeUnavailableError, PosixError when vsock is not available
 */
export function connectVsock(
  cid: number,
  port: number,
  onDone: (socket: LinkSocket | undefined, problem: string) => void,
  host: NativeHost = THIS_HOST,
): void {
  const where = `vsock:${cid}:${port}`;
  const nodeVsock = loadNodeVsock(host);
  if (!(nodeVsock instanceof Error)) {
    connectByNodeVsock(nodeVsock, cid, port, (socket, why) => {
      onDone(socket, socket === undefined ? `nothing answers at ${where}: ${why}` : '');
    });
    return;
  }
  const c = bindVsock(`connect to ${where}`, host, nodeVsock);
  const fd = c.socket(AF_VSOCK, n.SOCK_STREAM | n.SOCK_CLOEXEC, 0);
  if (fd < 0) throw noSocket(`cannot connect to ${where}`, c.errno());
  const timeout = new Uint8Array(16);
  new DataView(timeout.buffer).setBigInt64(0, BigInt(CONNECT_TIMEOUT_S), true);
  c.setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, timeout, timeout.length);
  const address = vsockAddress(cid, port);
  const failed = (problem: string): void => {
    c.close(fd);
    onDone(undefined, problem);
  };
  const connect = (): void =>
    c.connect.async(fd, address, SOCKADDR_VM_LEN, (error, result) => {
      void address.length; // koffi keeps no reference during the call
      if (error === null && result === 0) onDone(vsockSocket(fd), '');
      else failed(`nothing answers at ${where}`);
    });
  startElsewhere(connect, (error) => failed(`cannot connect to ${where}: ${reasonOf(error)}`));
}

/** A socket over a connected descriptor, paused. */
const vsockSocket = (fd: number): Socket =>
  socketOverHandle(pipeOver(fd), NOT_READ, { paused: true });

/** It is passed on before it reads. */
const NOT_READ: SocketReader = { buffer: new Uint8Array(1), callback: () => false };

export interface VsockListener {
  close(): void;
}

/**
 * Listen on a port of this machine's own vsock.
 *
 * @param cid an address of this machine; by default every one. node-vsock knows no other
 * @throws NativeUnavailableError; PosixError, or an error of node-vsock, when the port cannot be bound
 */
export async function listenVsock(
  port: number,
  onSocket: (socket: LinkSocket) => void,
  host: NativeHost = THIS_HOST,
  cid: number = VMADDR_CID_ANY,
): Promise<VsockListener> {
  const what = `cannot listen on vsock:${port}`;
  const nodeVsock = loadNodeVsock(host);
  if (!(nodeVsock instanceof Error) && cid === VMADDR_CID_ANY) {
    return listenByNodeVsock(nodeVsock, port, onSocket);
  }
  const c = bindVsock(
    `listen on vsock:${port}`,
    host,
    nodeVsock instanceof Error ? nodeVsock : new Error('it listens on every CID'),
  );
  const fd = c.socket(AF_VSOCK, n.SOCK_STREAM | n.SOCK_NONBLOCK | n.SOCK_CLOEXEC, 0);
  if (fd < 0) throw noSocket(what, c.errno());
  if (c.bind(fd, vsockAddress(cid, port), SOCKADDR_VM_LEN) < 0) {
    const errno = c.errno();
    c.close(fd);
    throw new PosixError(what, errno);
  }
  const server = createServer({ pauseOnConnect: true }, onSocket);
  const handle = tcpServerOver(fd);
  return await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(handle, () => {
      server.on('error', () => {}); // an accept failed; the next one may not
      resolve(server);
    });
  });
}

/** `net.Server` accepts libuv's TCP handles only; libuv does not check the address family. */
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
  if (errno !== 0) throw new NativeUnavailableError('listen on a vsock', `libuv error ${errno}`);
  return handle;
}

/** @param nodeVsock why it is not used */
function bindVsock(wanted: string, host: NativeHost, nodeVsock: Error) {
  let koffi: ReturnType<NativeHost['requireKoffi']>;
  try {
    koffi = host.requireKoffi();
  } catch (cause) {
    const whys = [`node-vsock (${reasonOf(nodeVsock)})`, `koffi (${reasonOf(cause)})`];
    const why = `neither ${whys.join(' nor ')} can be loaded; ${ADVICE}`;
    throw new NativeUnavailableError(wanted, why, { cause });
  }
  const connect: AsyncCall & ((...args: never) => unknown) = koffi
    .load(null)
    .func('int connect(int fd, const void *address, unsigned int len)');
  return { ...bindLibc(wanted, '', host), connect };
}

/** The first line; the rest lists the places searched. */
const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';

function noSocket(what: string, errno: number): PosixError {
  return new PosixError(what, errno, 'this kernel has no vsock; load the module vsock');
}
