/** Sockets of the guest that lead to the container, as those of Docker's own proxy do. */
import type { Protocol } from './arguments.ts';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Where to listen. Port 0 picks one. */
export interface ListenAt extends Endpoint {
  /** A descriptor that dockerd has bound there already. */
  readonly fd?: number;
}

/** Whether a client at this address is served. */
export type Admits = (clientAddress: string) => boolean;

export interface Listening {
  readonly port: number;
  close(): void;
}

/** Loaded when needed: most processes need one of the two. */
export async function listen(
  protocol: Protocol,
  at: ListenAt,
  container: Endpoint,
  admits?: Admits,
): Promise<Listening> {
  if (protocol === 'tcp') {
    const { forwardTcp } = await import('./tcp-forwarder.ts');
    return await forwardTcp(at, container, admits);
  }
  const { forwardUdp } = await import('./udp-forwarder.ts');
  return forwardUdp(at, container, admits);
}
