/**
 * TCP servers inside the virtual network: the gateway's services, and those that the embedding program
 * opens, at the gateway or at any address outside the subnet.
 */
import type { IpAddress } from '../base/ip-address.ts';
import type { Instant } from '../base/time.ts';
import type { TcpRequest } from '../stack/flow.ts';

/** Called with each SYN, to accept or to refuse it. */
export type TcpService = (now: Instant, request: TcpRequest) => void;

const MAX_LISTENERS = 1024;

/** `code` is `EADDRINUSE`, or `ERR_HAWSER_LIMIT` when there are too many. */
export class VirtualListenError extends Error {
  readonly code: 'EADDRINUSE' | 'ERR_HAWSER_LIMIT';

  constructor(code: VirtualListenError['code'], message: string) {
    super(message);
    this.name = 'VirtualListenError';
    this.code = code;
  }
}

interface Listener {
  readonly addresses: readonly IpAddress[];
  readonly service: TcpService;
}

export class VirtualListeners {
  private readonly byPort = new Map<number, Listener[]>();
  private count = 0;

  /**
   * @param addresses at which it is one listener
   * @returns a function that closes the listener
   * @throws VirtualListenError
   */
  serve(addresses: readonly IpAddress[], port: number, service: TcpService): () => void {
    if (addresses.some((address) => this.find(address, port) !== undefined)) {
      const where = placeText(addresses, port);
      throw new VirtualListenError('EADDRINUSE', `cannot listen at ${where}: it is served already`);
    }
    return this.replace(addresses, port, service);
  }

  /**
   * The same, in the place of what serves the port, which is back when this is closed.
   *
   * @throws VirtualListenError
   */
  replace(addresses: readonly IpAddress[], port: number, service: TcpService): () => void {
    if (this.count >= MAX_LISTENERS) {
      const where = placeText(addresses, port);
      const why = `there are ${MAX_LISTENERS} listeners already; close one`;
      throw new VirtualListenError('ERR_HAWSER_LIMIT', `cannot listen at ${where}: ${why}`);
    }
    const listener = { addresses, service };
    this.byPort.set(port, [listener, ...(this.byPort.get(port) ?? [])]);
    this.count++;
    return () => this.remove(port, listener);
  }

  find(address: IpAddress, port: number): TcpService | undefined {
    const listeners = this.byPort.get(port);
    if (listeners === undefined) return undefined;
    for (const listener of listeners) {
      if (listener.addresses.some((one) => one.equals(address))) return listener.service;
    }
    return undefined;
  }

  private remove(port: number, listener: Listener): void {
    const listeners = this.byPort.get(port) ?? [];
    const rest = listeners.filter((other) => other !== listener);
    if (rest.length === listeners.length) return;
    this.count--;
    if (rest.length === 0) this.byPort.delete(port);
    else this.byPort.set(port, rest);
  }
}

const placeText = (addresses: readonly IpAddress[], port: number): string =>
  `port ${port} of ${addresses.join(' and ')} in the guests' network`;
