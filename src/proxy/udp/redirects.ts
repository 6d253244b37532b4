/**
 * Peers of a guest's port that stand for others, which it has asked for: what they send comes from those. Bounded: the
 * peer that was set first is forgotten first, and is then seen as itself.
 */
import type { IpAddress } from '../../base/ip-address.ts';

export const REDIRECTS_MAX = 64;

export interface AskedFor {
  readonly remote: IpAddress;
  readonly port: number;
}

export class Redirects {
  /** Of the destination of the last datagram, where it is redirected: where it would have gone. */
  insteadOf: string | undefined = undefined;
  private readonly byPeer = new Map<string, AskedFor>();

  /** @param asked undefined: the peer stands for itself */
  set(address: string, port: number, asked: AskedFor | undefined): void {
    const key = keyOf(address, port);
    this.byPeer.delete(key);
    if (asked === undefined) return;
    for (const oldest of this.byPeer.keys()) {
      if (this.byPeer.size < REDIRECTS_MAX) break;
      this.byPeer.delete(oldest);
    }
    this.byPeer.set(key, asked);
  }

  find(address: string, port: number): AskedFor | undefined {
    return this.byPeer.get(keyOf(address, port));
  }
}

const keyOf = (address: string, port: number): string => `${address} ${port}`;
