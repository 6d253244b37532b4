/** The queries of one guest that wait for an upstream, and what of them gives way: the oldest. */
import { Chain, type Chained } from '../../base/chain.ts';
import type { Account, Budget } from '../../base/shares/budget.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';
import type { Guest } from '../../stack/guest.ts';
import { AttemptSockets } from './attempt-sockets.ts';
import type { Resolution } from './resolution.ts';

export type DnsReply = (message: Uint8Array) => void;

/** @param from undefined: the reply is of our own making, because no upstream has given one */
export type UpstreamReply = (message: Uint8Array, from: DnsUpstream | undefined) => void;

export interface Waiter {
  readonly id: number;
  readonly reply: UpstreamReply;
}

/** Queries of one guest that ask the same. */
export class Pending implements Chained<Pending> {
  chainNext: Pending | undefined = undefined;
  chainPrev: Pending | undefined = undefined;
  readonly key: string;
  readonly resolution: Resolution;
  readonly waiters: Waiter[];
  readonly failure: () => Uint8Array;

  constructor(key: string, resolution: Resolution, waiters: Waiter[], failure: () => Uint8Array) {
    this.key = key;
    this.resolution = resolution;
    this.waiters = waiters;
    this.failure = failure;
  }
}

/** What one guest has waiting. */
export class GuestQueries {
  readonly pending: Chain<Pending> = new Chain();
  /** One for each query that waits. */
  readonly share: Account;
  readonly sockets: AttemptSockets;

  constructor({ owner }: Guest, queries: Budget, sockets: Budget, evict: () => boolean) {
    this.share = owner.share(queries, { evict });
    this.sockets = new AttemptSockets(owner, sockets);
  }
}
