/** The sockets that are dialled for the peers of one link: each is of its share of the descriptors, and of the turn when it is read. */
import type { Account, Budget } from '../../base/shares/budget.ts';
import { type EvictionCandidate, EvictionOrder } from '../../base/shares/eviction-order.ts';
import { Owner } from '../../base/shares/owner.ts';
import { Intake } from '../intake.ts';
import type { Turns } from '../turns.ts';

/** Something with one socket. */
export interface SocketHolder extends EvictionCandidate<SocketHolder> {
  /** Give the socket back: {@link DialerSockets.delete} follows before the return. */
  evict(): void;
}

export class DialerSockets {
  readonly link: string;
  /** Undefined where nobody else shares the event loop. */
  readonly intake: Intake | undefined;
  private readonly share: Account | undefined;
  private readonly order: EvictionOrder<SocketHolder> = new EvictionOrder();

  /** @param sockets undefined: whatever the system has */
  constructor(link: string, sockets: Budget | undefined, turns?: Turns) {
    this.link = link;
    this.intake = turns === undefined ? undefined : new Intake(turns);
    if (sockets === undefined) return;
    this.share = new Owner(link).share(sockets, { evict: () => this.evict() });
  }

  /** @returns false when there is no descriptor for it */
  take(): boolean {
    return this.share === undefined || this.share.take();
  }

  /** What was taken is not used. */
  give(): void {
    this.share?.give();
  }

  /** `holder` uses what was taken. */
  add(holder: SocketHolder): void {
    this.order.add(holder);
  }

  /** `after` uses the socket of `before`. */
  replace(before: SocketHolder, after: SocketHolder): void {
    this.order.delete(before);
    this.order.add(after);
  }

  delete(holder: SocketHolder): void {
    this.order.delete(holder);
    this.share?.give();
  }

  close(): void {
    for (const holder of this.order) holder.evict();
  }

  private evict(): boolean {
    const oldest = this.order.pick();
    if (oldest === undefined) return false;
    oldest.evict();
    return true;
  }
}
