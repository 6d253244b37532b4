/**
 * A host datagram socket: an ordinary UDP one, or a ping socket given by its descriptor. It
 * never throws and never emits: a failure is a returned code.
 *
 * Binding is done when {@link openHostSocket} returns. Node binds asynchronously only because it
 * resolves names; with a `lookup` that answers synchronously, bind and send are synchronous too, and no
 * datagram waits for a socket.
 *
 * ICMP errors: with IP_RECVERR set, the kernel fails the next send or receive with the pending error
 * and keeps the details in the socket's error queue. An undrained queue keeps the descriptor
 * readable for ever, so that every failure of either kind must drain it.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { reportFault } from '../../base/faults.ts';
import { datagramHandle } from '../../native/dgram-handle.ts';
import { errorCode } from '../../native/errors.ts';

export interface HostSocketEvents {
  /** The receiver may keep `bytes`. */
  onMessage(bytes: Buffer, peer: RemoteInfo): void;
  /** A receive failed: with IP_RECVERR, an ICMP error is waiting in the error queue. */
  onReceiveError(code: string): void;
  /** One of these two callbacks has thrown, which was reported: end the flow. */
  onFault(): void;
}

export interface HostSocketOptions {
  readonly family: 4 | 6;
  /** Text of the address to bind; every address by default. */
  readonly address?: string | undefined;
  readonly port?: number;
  /** An IPv6 socket that accepts IPv4 too. */
  readonly dualStack?: boolean;
  /** A descriptor to use instead of a new socket; it belongs to the socket from then on. */
  readonly fd?: number | undefined;
}

export interface HostSocket {
  readonly socket: Socket;
  readonly family: 4 | 6;
  /** -1 when Node does not expose it. */
  readonly fd: number;
  /** Datagrams are read, or wait in the kernel; no more are read of a poll that is under way either. */
  setReading(isReading: boolean): void;
}

/** @returns the socket, or the system's code for why there is none (`EADDRINUSE`, `EMFILE`, ...) */
export function openHostSocket(
  options: HostSocketOptions,
  events: HostSocketEvents,
): HostSocket | string {
  const { family } = options;
  const socket = createSocket({
    type: family === 4 ? 'udp4' : 'udp6',
    ipv6Only: family === 6 && options.dualStack !== true,
    lookup: (name, _options, onResult) => onResult(null, name, family), // always an address
  });
  let listening = false;
  let failure = 'EIO';
  socket.once('listening', () => {
    listening = true;
  });
  socket.on('error', (error) => {
    const code = errorCode(error);
    if (!listening) {
      failure = code;
      return;
    }
    try {
      events.onReceiveError(code);
    } catch (fault) {
      reportFault('datagram-error', fault);
      events.onFault();
    }
  });
  if (options.fd === undefined) {
    const address = options.address ?? (family === 4 ? '0.0.0.0' : '::');
    socket.bind({ port: options.port ?? 0, address, exclusive: true });
  } else {
    socket.bind({ fd: options.fd, exclusive: true });
  }
  if (!listening) {
    closeQuietly(socket);
    return failure;
  }
  const isPing = options.fd !== undefined;
  socket.on('message', (bytes, peer) => {
    // RFC 768: a datagram from port 0 wants no answer, and none can be sent to that port.
    if (peer.port === 0 && !isPing) return;
    try {
      events.onMessage(bytes, peer);
    } catch (fault) {
      reportFault('datagram', fault);
      events.onFault();
    }
  });
  const handle = datagramHandle(socket);
  const setReading = (isReading: boolean): void => handle.setReading(isReading);
  return { socket, family, fd: handle.fd, setReading };
}

/** Closing a socket twice throws, which is ignored here. */
export function closeQuietly(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // closed before
  }
}
