/**
 * What notices that leases are granted, renewed and released: a store of leases that wraps another and emits events.
 *
 * Whether one was renewed is read from the clock that never jumps: by the wall's, that of each other lease moves by a
 * millisecond now and then, and by days where somebody sets it. One that ends while nobody asks for anything, since its time
 * is over or its guest has left, is released by a timer.
 */
import type { Emitter } from '../base/emitter.ts';
import { type Clock, type Instant, NEVER, TIMER_MS_MAX } from '../base/time.ts';
import type { LeaseEvent, NetworkEvents } from '../control/events/network-events.ts';
import type { NetworkView } from '../control/network-view.ts';
import type {
  KeptLeases,
  LeaseEnd,
  LeaseKeeper,
  LeaseStore,
  StoredLease,
} from '../services/dhcp/lease.ts';

/** A lease of a file ends later by more than this: it was renewed. */
const RENEWED_MS = 1_000;
const ENDED: LeaseEnd = { expiresAt: -NEVER, freeAt: -NEVER };
/** Guests that leave and come back all the time cost one look in this time. */
const SETTLE_MS = 20;

interface Known {
  readonly lease: StoredLease;
  /** Undefined: as it was loaded. */
  readonly expiresAt: Instant | undefined;
  readonly freeAt: Instant;
  isHeld: boolean;
}

export interface LeaseWatchDeps {
  readonly view: () => Pick<NetworkView, 'leases'>;
  readonly emitter: Emitter<NetworkEvents>;
  readonly store: LeaseKeeper | undefined;
  readonly clock: Pick<Clock, 'now'>;
}

export class LeaseWatch implements LeaseStore {
  private readonly deps: LeaseWatchDeps;
  /** By address. */
  private known: ReadonlyMap<string, Known> = new Map();
  private timer: NodeJS.Timeout | undefined = undefined;
  private settling: NodeJS.Timeout | undefined = undefined;

  constructor(deps: LeaseWatchDeps) {
    this.deps = deps;
  }

  load(): readonly StoredLease[] {
    const leases = this.deps.store?.load() ?? [];
    const now = this.deps.clock.now();
    const wallMs = Date.now();
    const known = leases.map((lease): Known => {
      const freeAt = now + lease.expiresAtMs - wallMs;
      return { lease, expiresAt: undefined, freeAt, isHeld: freeAt > now };
    });
    this.known = new Map(known.map((one) => [one.lease.address, one]));
    this.arm(now);
    return leases;
  }

  save(leases: readonly StoredLease[], ends: readonly LeaseEnd[]): void {
    this.deps.store?.save(leases);
    this.see(leases, ends);
  }

  onEnds(read: () => KeptLeases): void {
    this.settling ??= setTimeout(() => {
      this.settling = undefined;
      const { leases, ends } = read();
      this.see(leases, ends);
    }, SETTLE_MS).unref();
  }

  private see(leases: readonly StoredLease[], ends: readonly LeaseEnd[]): void {
    const now = this.deps.clock.now();
    const before = new Map(this.known);
    const known = new Map<string, Known>();
    for (const [i, lease] of leases.entries()) {
      const { expiresAt, freeAt } = ends[i] ?? ENDED;
      const one = { lease, expiresAt, freeAt, isHeld: freeAt > now };
      known.set(lease.address, one);
      this.compare(before.get(lease.address), one);
      before.delete(lease.address);
    }
    for (const { lease, isHeld } of before.values()) if (isHeld) this.announce('released', lease);
    this.known = known;
    this.arm(now);
  }

  close(): void {
    clearTimeout(this.timer);
    clearTimeout(this.settling);
  }

  private compare(old: Known | undefined, one: Known): void {
    const isSame = old?.lease.client === one.lease.client && old.lease.mac === one.lease.mac;
    const goesOn = isSame && old.isHeld && one.isHeld;
    if (old?.isHeld === true && !goesOn) {
      this.announce('released', isSame ? one.lease : old.lease);
    }
    if (one.isHeld && !goesOn) this.announce('granted', one.lease);
    if (goesOn && isRenewed(old, one)) this.announce('renewed', one.lease);
  }

  private arm(now: Instant): void {
    clearTimeout(this.timer);
    let at = NEVER;
    for (const { isHeld, freeAt } of this.known.values()) if (isHeld) at = Math.min(at, freeAt);
    if (at === NEVER) return;
    const waitMs = Math.min(Math.max(Math.ceil(at - now), 1), TIMER_MS_MAX);
    this.timer = setTimeout(() => this.release(), waitMs).unref();
  }

  /** Those whose time is over. */
  private release(): void {
    const now = this.deps.clock.now();
    for (const one of this.known.values()) {
      if (!one.isHeld || one.freeAt > now) continue;
      one.isHeld = false;
      this.announce('released', one.lease);
    }
    this.arm(now);
  }

  /** Not within the call: the server is still building its answer. */
  private announce(kind: LeaseEvent['kind'], stored: StoredLease): void {
    const { view, emitter } = this.deps;
    if (!emitter.has('lease')) return;
    queueMicrotask(() => {
      const { mac, address, hostname = null, expiresAtMs } = stored;
      const current = view()
        .leases()
        .find((one) => one.address === address && one.mac === mac);
      const expiresAt = new Date(expiresAtMs).toISOString();
      const lease = current ?? { mac, address, hostname, static: false, expiresAt };
      emitter.emit('lease', { kind, lease });
    });
  }
}

function isRenewed(old: Known, { lease, expiresAt }: Known): boolean {
  if (old.expiresAt !== undefined) return expiresAt !== old.expiresAt;
  return lease.expiresAtMs - old.lease.expiresAtMs > RENEWED_MS;
}
