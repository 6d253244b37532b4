/**
 * A port of `localhost`: one number on 127.0.0.1 and on ::1, because clients use either. It is bound on
 * both or on neither; where the host lacks one of the two, the other is enough.
 */
import { IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { PublishedListener } from './agent-carrier.ts';
import { type PortSpec, PublishError, type SocketSpec } from './publish-spec.ts';

export const LOOPBACK4: IpAddress = ipv4(0x7f00_0001);
export const LOOPBACK6: IpAddress = new IpAddress(0, 0, 0, 1);

/** A number that the system picked for one family may be in use in the other. */
const PICKS = 16;

/** @throws PublishError; nothing is left behind */
export async function listenOnLoopbacks<Listener extends PublishedListener>(
  spec: PortSpec,
  listen: (spec: SocketSpec) => Promise<Listener>,
): Promise<LoopbackPair> {
  const at = (hostAddress: IpAddress, hostPort: number): Promise<Listener | PublishError> =>
    unlessAbsent(() => listen({ ...spec, hostAddress, hostPort }));
  for (let pick = 1; ; pick++) {
    const first = await at(LOOPBACK4, spec.hostPort);
    const isPicked = spec.hostPort === 0 && !(first instanceof PublishError);
    try {
      const second = await at(LOOPBACK6, isPicked ? first.hostPort : spec.hostPort);
      return pairOf(first, second);
    } catch (error) {
      if (first instanceof PublishError) throw error;
      first.stop();
      if (!isPicked || pick === PICKS || !isTaken(error)) throw error;
    }
  }
}

function pairOf(
  first: PublishedListener | PublishError,
  second: PublishedListener | PublishError,
): LoopbackPair {
  if (!(first instanceof PublishError)) {
    return new LoopbackPair(first, second instanceof PublishError ? undefined : second, LOOPBACK4);
  }
  if (second instanceof PublishError) throw first;
  return new LoopbackPair(second, undefined, LOOPBACK6);
}

/** @returns the error when the host has no such address */
async function unlessAbsent<T>(listen: () => Promise<T>): Promise<T | PublishError> {
  try {
    return await listen();
  } catch (error) {
    const isAbsent =
      error instanceof PublishError &&
      (error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT');
    if (isAbsent) return error;
    throw error;
  }
}

const isTaken = (error: unknown): boolean =>
  error instanceof PublishError && error.code === 'EADDRINUSE';

export class LoopbackPair implements PublishedListener {
  /** The only loopback address of the host; undefined for both. */
  readonly only: IpAddress | undefined;
  private readonly first: PublishedListener;
  private readonly second: PublishedListener | undefined;

  constructor(
    first: PublishedListener,
    second: PublishedListener | undefined,
    addressOfFirst: IpAddress,
  ) {
    this.first = first;
    this.second = second;
    this.only = second === undefined ? addressOfFirst : undefined;
  }

  get hostPort(): number {
    return this.first.hostPort;
  }

  get active(): number {
    return this.first.active + (this.second?.active ?? 0);
  }

  isAt(address: string, port: number): boolean {
    return this.first.isAt(address, port) || this.second?.isAt(address, port) === true;
  }

  stop(): void {
    this.first.stop();
    this.second?.stop();
  }
}
