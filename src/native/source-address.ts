/**
 * The address that the kernel would send from: a datagram socket is connected, which sends nothing. It takes all of
 * routes, rules, addresses and their state into account, which reading route tables does not.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { errorCode } from './errors.ts';

/** Any: nothing is sent there. */
const PORT = 53;

/** An address, or why there is none. */
export type SourceAddress =
  | { readonly address: string }
  /** `ENETUNREACH`, `EADDRNOTAVAIL`, `EAFNOSUPPORT`, `EPERM`, `EMFILE`, ... */
  | { readonly code: string };

export function sourceAddressTo(destination: string): Promise<SourceAddress> {
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
      const made = createSocket(isIPv6(destination) ? 'udp6' : 'udp4');
      socket = made;
      made.on('error', fail);
      made.on('connect', () => end({ address: made.address().address }));
      made.connect(PORT, destination);
    } catch (error) {
      fail(error);
    }
  });
}
