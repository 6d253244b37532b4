/**
 * Queries that wait for an upstream: identical ones of a guest share one resolution, whose answer is cached.
 *
 * Bounded: queries waiting are shares of guests, of which the oldest gives way; without room the answer is SERVFAIL at
 * once.
 */
import { reportFault } from '../../base/faults.ts';
import type { Log } from '../../base/log.ts';
import { Budget } from '../../base/shares/budget.ts';
import type { Instant } from '../../base/time.ts';
import type { DnsCache } from '../../services/dns/cache.ts';
import {
  type DnsQuery,
  dnsId,
  dnsRcode,
  NXDOMAIN,
  REFUSED,
  SERVFAIL,
} from '../../services/dns/message.ts';
import { errorReply, headerReply } from '../../services/dns/reply.ts';
import type { DnsUpstream } from '../../services/dns/resolv-conf.ts';
import { limitTtls, withId } from '../../services/dns/surgery.ts';
import { upstreamText } from '../../services/dns/upstream-text.ts';
import type { Guest } from '../../stack/guest.ts';
import { GuestQueries, Pending, type UpstreamReply, type Waiter } from './guest-queries.ts';
import type { ProxiedNames } from './proxied-names.ts';
import { Resolution, type ResolutionTiming, type Resolved } from './resolution.ts';
import type { UpstreamRoutes } from './upstream-routes.ts';
import type { Transport } from './upstreams.ts';

const MAX_WAITING = 1024;

const RCODES: Readonly<Record<number, string>> = {
  [SERVFAIL]: 'SERVFAIL',
  [NXDOMAIN]: 'NXDOMAIN',
  [REFUSED]: 'REFUSED',
};

export type UpstreamQueryCount = 'forwarded' | 'joined' | 'failed' | 'too-many-waiting' | 'evicted';

export interface UpstreamQueriesDeps {
  readonly upstreams: UpstreamRoutes;
  readonly cache: DnsCache;
  readonly counts: { add(count: UpstreamQueryCount): void };
  readonly log: Log;
  readonly now: () => Instant;
  readonly maxWaiting?: number | undefined;
  /** Descriptors. */
  readonly sockets: Budget;
  /** Those in use; undefined where there are none. */
  readonly proxied?: { readonly current: ProxiedNames | undefined } | undefined;
}

export class UpstreamQueries {
  readonly budget: Budget;
  private readonly deps: UpstreamQueriesDeps;
  private readonly pending = new Map<string, Pending>();
  private readonly byGuest = new WeakMap<Guest, GuestQueries>();
  private timing: ResolutionTiming;
  private rotate = false;
  /** Counts configurations: pending queries of an old one are neither shared with a new one nor cached. */
  private generation = 0;

  constructor(deps: UpstreamQueriesDeps, timing: ResolutionTiming) {
    this.deps = deps;
    this.timing = timing;
    this.budget = new Budget('queries', deps.maxWaiting ?? MAX_WAITING);
  }

  /** The upstreams are others now, and what they answered before is no longer of use. */
  reconfigure(timing: ResolutionTiming, rotate: boolean): void {
    this.generation++;
    this.deps.cache.clear();
    this.timing = timing;
    this.rotate = rotate;
  }

  close(): void {
    for (const { resolution } of this.pending.values()) resolution.cancel();
    this.pending.clear();
  }

  /** @param query undefined: it cannot be read, and is passed on as it is */
  forward(
    message: Uint8Array,
    query: DnsQuery | undefined,
    transport: Transport,
    owner: Guest,
    reply: UpstreamReply,
  ): void {
    const { upstreams, cache, counts, now } = this.deps;
    const order = upstreams.inOrder(query, now(), this.rotate);
    if (order.length === 0) {
      this.onFailed(query, 'there is no nameserver');
      reply(failureReply(message, query), undefined);
      return;
    }
    const own = this.queriesOf(owner);
    if (!own.share.take()) {
      counts.add('too-many-waiting');
      reply(failureReply(message, query), undefined);
      return;
    }
    const waiter = { id: dnsId(message), reply };
    const generation = this.generation;
    const bytes = Buffer.from(withId(message, 0)).toString('latin1');
    // Not shared with other guests: who gives way gives up its own queries alone.
    const key = `${generation} ${owner.id} ${transport} ${bytes}`;
    const joined = this.pending.get(key);
    if (joined !== undefined) {
      counts.add('joined');
      joined.waiters.push(waiter);
      return;
    }
    counts.add('forwarded');
    const { timing } = this;
    const { sockets } = own;
    const proxied = this.deps.proxied?.current;
    const isProxied = query !== undefined && proxied?.asks(owner, query) === true;
    const dial = isProxied ? proxied.dial : undefined;
    const evict = (): void => this.evict(own, pending);
    const resolution = new Resolution(
      { query: message, transport, order, timing, sockets, evict, now, dial },
      (resolved) => {
        if (resolved !== undefined) limitTtls(resolved.reply);
        if (resolved === undefined) this.onFailed(query, 'no nameserver answered');
        else if (query !== undefined && generation === this.generation) {
          cache.put(query, new Uint8Array(resolved.reply), now());
        }
        if (resolved !== undefined && query !== undefined) this.logRefusal(query, resolved.reply);
        this.end(own, pending, resolved);
      },
    );
    const pending = new Pending(key, resolution, [waiter], () => failureReply(message, query));
    this.pending.set(key, pending);
    own.pending.add(pending);
    resolution.start();
  }

  /** @param resolved undefined: there is no answer */
  private end(own: GuestQueries, pending: Pending, resolved: Resolved | undefined): void {
    const { key, waiters } = pending;
    this.pending.delete(key);
    own.pending.delete(pending);
    own.share.give(waiters.length);
    const result = resolved?.reply ?? pending.failure();
    for (const waiter of waiters) deliver(waiter, result, resolved?.from);
  }

  private queriesOf(guest: Guest): GuestQueries {
    const known = this.byGuest.get(guest);
    if (known !== undefined) return known;
    const own: GuestQueries = new GuestQueries(guest, this.budget, this.deps.sockets, () =>
      this.evictOldest(own),
    );
    this.byGuest.set(guest, own);
    return own;
  }

  private evictOldest(own: GuestQueries): boolean {
    const oldest = own.pending.first;
    if (oldest !== undefined) this.evict(own, oldest);
    return oldest !== undefined;
  }

  private evict(own: GuestQueries, pending: Pending): void {
    this.deps.counts.add('evicted');
    pending.resolution.cancel();
    this.end(own, pending, undefined);
  }

  private onFailed(query: DnsQuery | undefined, why: string): void {
    const { counts, log } = this.deps;
    counts.add('failed');
    const upstreams = this.deps.upstreams.servers.map(upstreamText);
    const { name, type } = query ?? {};
    log.debug({ name, type, why, upstreams }, 'DNS query failed');
  }

  /** For the diagnosis of "no network": names that do not exist. */
  private logRefusal({ name, type }: DnsQuery, answer: Uint8Array): void {
    const rcode = RCODES[dnsRcode(answer)];
    if (rcode !== undefined) this.deps.log.debug({ name, type, rcode }, 'DNS query refused');
  }
}

/** Where code of ours throws for one, the others that asked the same have their answer. */
function deliver({ id, reply }: Waiter, message: Uint8Array, from: DnsUpstream | undefined): void {
  try {
    reply(withId(message, id), from);
  } catch (fault) {
    reportFault('dns', fault);
  }
}

/** SERVFAIL: no server answered, so nothing is known about the name. */
const failureReply = (message: Uint8Array, query: DnsQuery | undefined): Uint8Array =>
  query === undefined ? headerReply(message, SERVFAIL) : errorReply(query, SERVFAIL);
