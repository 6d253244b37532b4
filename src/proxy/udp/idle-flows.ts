/**
 * A proxy's flows in an {@link IdleTable}, with what is the same for all of them: places and sockets are its guest's
 * share, idle flows expire, and a guest's end with the guest. Each end is counted.
 */
import { Counters } from '../../base/counters.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import { type Account, Budget } from '../../base/shares/budget.ts';
import { EvictionOrder } from '../../base/shares/eviction-order.ts';
import type { Instant } from '../../base/time.ts';
import type { Guest } from '../../stack/guest.ts';
import type { FlowProtocol } from '../flows/flow.ts';
import type { FlowBook } from '../flows/flow-book.ts';
import type { IdleFlow } from './idle-flow.ts';
import { IdleTable, type TableLimits } from './idle-table.ts';

/** Where flows are shown, and as what. */
export interface BookedAs {
  readonly book: FlowBook;
  readonly protocol: FlowProtocol;
}

/** What the ends of flows are counted as. */
export interface EndCounts<C> {
  readonly evicted: C;
  readonly expired: C;
}

/** What one guest has of the table. */
class GuestFlows<F extends IdleFlow<F>> {
  readonly order: EvictionOrder<F> = new EvictionOrder();
  readonly places: Account;
  readonly sockets: Account | undefined;

  constructor({ owner }: Guest, places: Budget, sockets: Budget | undefined, evict: () => boolean) {
    const options = { evict, recycles: true };
    this.places = owner.share(places, options);
    this.sockets = sockets === undefined ? undefined : owner.share(sockets, options);
  }

  /** Room for one more flow. */
  take(): boolean {
    if (!this.places.take()) return false;
    if (this.sockets === undefined || this.sockets.take()) return true;
    this.places.give();
    return false;
  }

  give(): void {
    this.places.give();
    this.sockets?.give();
  }
}

/** Each closes a socket; where more are due, the next call is at once. */
const EXPIRED_AT_ONCE = 64;

export abstract class IdleFlows<F extends IdleFlow<F>, C extends string> {
  readonly counts: Counters<C> = new Counters();
  protected readonly table: IdleTable<F>;
  private readonly ends: EndCounts<C>;
  readonly places: Budget;
  private readonly sockets: Budget | undefined;
  private readonly booked: BookedAs;
  private readonly byGuest = new WeakMap<Guest, GuestFlows<F>>();

  /**
   * @param name of the budget of places
   * @param seed any integer; see {@link IdleTable}
   * @param sockets of which each flow holds one; undefined when flows hold none
   */
  constructor(
    name: string,
    keyWords: number,
    limits: TableLimits,
    seed: number,
    ends: EndCounts<C>,
    sockets: Budget | undefined,
    booked: BookedAs,
  ) {
    this.booked = booked;
    this.table = new IdleTable(keyWords, limits, seed);
    this.ends = ends;
    this.places = new Budget(name, limits.entries);
    this.sockets = sockets;
  }

  get size(): number {
    return this.table.size;
  }

  nextTimeout(): Instant {
    return this.table.nextExpiry();
  }

  onTimeout(now: Instant): void {
    for (let n = 0; n < EXPIRED_AT_ONCE; n++) {
      const flow = this.table.expired(now);
      if (flow === undefined) return;
      this.counts.add(this.ends.expired);
      this.drop(flow, 'expired');
    }
  }

  /** The guest is gone for good from one of its addresses. */
  endGuest(owner: Guest, address: IpAddress): void {
    for (const flow of this.flowsOf(owner).order) {
      if (flow.guest.equals(address)) this.drop(flow, 'link-down');
    }
  }

  /**
   * Make room for one more flow of `owner`: of the guest that has the most.
   *
   * @returns false when there is none; otherwise {@link add} or {@link givePlace} follows
   */
  protected takePlace(owner: Guest): boolean {
    return this.flowsOf(owner).take();
  }

  /** There is no flow, after {@link takePlace}. */
  protected givePlace(owner: Guest): void {
    this.flowsOf(owner).give();
  }

  protected add(now: Instant, flow: F): void {
    this.table.add(now, flow);
    this.flowsOf(flow.owner).order.add(flow);
    const { book, protocol } = this.booked;
    flow.entry = book.add(protocol, flow.owner, undefined, flow);
  }

  /** The guest's own oldest part makes room: an eighth of what it has, and one at least. */
  protected evictSome(owner: Guest): void {
    const { order } = this.flowsOf(owner);
    for (let n = 1 + (order.size >> 3); n > 0; n--) this.evictOldest(order);
  }

  protected drop(flow: F, why: string): void {
    const flows = this.flowsOf(flow.owner);
    flows.order.delete(flow);
    flows.give();
    this.table.remove(flow);
    this.booked.book.end(flow.entry, why);
    flow.close();
  }

  private flowsOf(owner: Guest): GuestFlows<F> {
    const known = this.byGuest.get(owner);
    if (known !== undefined) return known;
    const made: GuestFlows<F> = new GuestFlows(owner, this.places, this.sockets, () =>
      this.evictOldest(made.order),
    );
    this.byGuest.set(owner, made);
    return made;
  }

  private evictOldest(order: EvictionOrder<F>): boolean {
    const oldest = order.pick();
    if (oldest === undefined) return false;
    this.counts.add(this.ends.evicted);
    this.drop(oldest, 'evicted');
    return true;
  }
}
