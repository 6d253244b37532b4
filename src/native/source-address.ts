/**
 * The address that the kernel would send from: a datagram socket is connected, which sends nothing. It takes all of
 * routes, rules, addresses and their state into account, which reading route tables does not.
 */
import { createSocket, type Socket } from 'node:dgram';
import { getSystemErrorName } from 'node:util';
import { DATAGRAM_BINDINGS, type DatagramBindings } from './datagram-bindings.ts';
import { errorCode } from './errors.ts';
import type { SocketName } from './stream/bindings.ts';

/** Any: nothing is sent there. */
const PORT = 53;

/** An address, or why there is none. */
export type SourceAddress =
  | { readonly address: string }
  /** `ENETUNREACH`, `EADDRNOTAVAIL`, `EAFNOSUPPORT`, `EPERM`, `EMFILE`, ... */
  | { readonly code: string };

/** Node's `isIPv6` compiles an expression that takes longer than all else here. */
const isIpv6 = (address: string): boolean => address.includes(':');

/** @param bindings null: by Node's own sockets, whose first use costs a start 10 ms */
export function sourceAddressTo(
  destination: string,
  bindings: DatagramBindings | null = DATAGRAM_BINDINGS,
): Promise<SourceAddress> {
  return bindings === null
    ? bySocket(destination)
    : Promise.resolve(byHandle(destination, bindings));
}

function byHandle(destination: string, { UDP }: DatagramBindings): SourceAddress {
  const handle = new UDP();
  try {
    const name: SocketName = {};
    const connected = isIpv6(destination)
      ? handle.connect6(destination, PORT)
      : handle.connect(destination, PORT);
    const status = connected === 0 ? handle.getsockname(name) : connected;
    return status === 0 && name.address !== undefined
      ? { address: name.address }
      : { code: getSystemErrorName(status) };
  } finally {
    handle.close();
  }
}

function bySocket(destination: string): Promise<SourceAddress> {
  return new Promise((resolve) => {
    let socket: Socket | undefined;
    const end = (result: SourceAddress): void => {
      socket?.removeAllListeners().close();
      socket = undefined;
      resolve(result);
    };
    const fail = (error: unknown): void => {
      end({ code: error instanceof Error ? errorCode(error) : String(error) });
    };
    try {
      const made = createSocket(isIpv6(destination) ? 'udp6' : 'udp4');
      socket = made;
      made.on('error', fail);
      made.on('connect', () => end({ address: made.address().address }));
      made.connect(PORT, destination);
    } catch (error) {
      fail(error);
    }
  });
}
