/**
 * The guests' resolver: local names, then the cache, then the host's own upstreams.
 *
 * Messages are forwarded unchanged, except for ids, and for TTLs of answers from the cache.
 * Identical pending queries of a guest share one resolution. Everything is bounded: queries waiting, which are shares
 * of guests (without room: SERVFAIL at once), attempts of each, cache entries and bytes.
 */
import { Counters } from '../../base/counters.ts';
import { reportFault } from '../../base/faults.ts';
import type { Log } from '../../base/log.ts';
import { Budget } from '../../base/shares/budget.ts';
import type { Instant } from '../../base/time.ts';
import { errorCode } from '../../native/errors.ts';
import { DnsCache } from '../../services/dns/cache.ts';
import {
  answerGuest,
  concerns,
  type FamilyPolicy,
  type Found,
  type Shaping,
} from '../../services/dns/guest-answer.ts';
import { parseHosts } from '../../services/dns/hosts.ts';
import type { LocalNames } from '../../services/dns/local-names.ts';
import {
  type DnsQuery,
  dnsId,
  dnsRcode,
  FORMERR,
  NOERROR,
  NOTIMP,
  NXDOMAIN,
  type QueryProblem,
  REFUSED,
  readQuery,
  SERVFAIL,
  TYPE_AXFR,
  TYPE_IXFR,
  udpLimit,
} from '../../services/dns/message.ts';
import { errorReply, headerReply } from '../../services/dns/reply.ts';
import { type DnsUpstream, parseResolvConf } from '../../services/dns/resolv-conf.ts';
import { fitUdp, withId } from '../../services/dns/surgery.ts';
import { upstreamText } from '../../services/dns/upstream-text.ts';
import type { Guest } from '../../stack/guest.ts';
import type { DnsPolicy } from '../policy/dns-policy.ts';
import { FileFollower, type FileFollowerOptions } from './file-follower.ts';
import {
  type DnsReply,
  GuestQueries,
  Pending,
  type UpstreamReply,
  type Waiter,
} from './guest-queries.ts';
import type { ProxiedNames } from './proxied-names.ts';
import { Resolution, type ResolutionTiming, type Transport } from './resolution.ts';
import { Upstreams } from './upstreams.ts';

const MAX_WAITING = 1024;
/** Below the 5 s after which most stub resolvers give up, so that they receive the SERVFAIL. */
const TIMING: ResolutionTiming = { attemptMs: 1200, deadlineMs: 4800 };
/** resolv.conf(5): without a nameserver line, the one on this machine. */
const DEFAULT_UPSTREAM: DnsUpstream = { address: '127.0.0.1', port: 53 };

const EVERYTHING: FamilyPolicy = { hidesIpv4: false, hidesIpv6: false, dns64: undefined };

const RCODES: Readonly<Record<number, string>> = {
  [SERVFAIL]: 'SERVFAIL',
  [NXDOMAIN]: 'NXDOMAIN',
  [REFUSED]: 'REFUSED',
};

export interface DnsForwarderOptions {
  readonly names: LocalNames;
  readonly log: Log;
  readonly now: () => Instant;
  /** Default: guests get everything as it is. */
  readonly families?: FamilyPolicy | undefined;
  /** Fixed servers; without them those of `resolvConf`, followed live. */
  readonly upstreams?: readonly DnsUpstream[] | undefined;
  /** Default /etc/resolv.conf. */
  readonly resolvConf?: string | undefined;
  /** Followed live. */
  readonly hostsFile?: string | undefined;
  /** The host's search list, at once and after each change; called before the constructor returns. */
  readonly onSearch?: ((search: readonly string[]) => void) | undefined;
  /** The host's name servers may be others now. */
  readonly onNameServers?: (() => void) | undefined;
  readonly maxWaiting?: number | undefined;
  /** Descriptors. */
  readonly sockets: Budget;
  /** What a guest may ask upstreams for. Default: everything. */
  readonly policy?: DnsPolicy | undefined;
  /** Asked about names that are not ours and that the policy allows. */
  readonly ask?: AskAboutName | undefined;
  /** Those in use; undefined where there are none. */
  readonly proxied?: { readonly current: ProxiedNames | undefined } | undefined;
  /** Called for each query that is answered by an error, with its code. */
  readonly onFailure?: ((query: DnsQuery, rcode: number) => void) | undefined;
  /** Called for each answer to a query; borrows it. */
  readonly onAnswer?: ((owner: Guest, query: DnsQuery, reply: Uint8Array) => void) | undefined;
  readonly timing?: ResolutionTiming | undefined;
  readonly following?: FileFollowerOptions | undefined;
  /** Authorities that vouch for upstreams over TLS, in PEM; default: Node's. */
  readonly tlsAuthorities?: string | undefined;
}

/** @param answered called at most once, maybe at once: with an answer, or undefined for one of the upstreams */
export type AskAboutName = (
  owner: Guest,
  query: DnsQuery,
  answered: (reply: Uint8Array | undefined) => void,
) => void;

export type DnsCount =
  | QueryProblem
  | Shaping
  | 'queries-udp'
  | 'queries-tcp'
  | 'answered-locally'
  | 'answered-from-cache'
  | 'forwarded'
  | 'joined'
  | 'failed'
  | 'zone-transfer'
  /** By the policy. */
  | 'denied'
  /** Of a guest within a minute, under a policy. */
  | 'too-many-names'
  | 'too-many-waiting'
  | 'evicted'
  /** Connections ended: idle, in favour of others beyond a limit, or with answers that the guest did not read. */
  | 'tcp-idle'
  | 'tcp-evicted'
  | 'tcp-unread';

export class DnsForwarder {
  readonly counts: Counters<DnsCount> = new Counters();
  readonly cache: DnsCache = new DnsCache();
  private readonly options: DnsForwarderOptions;
  private readonly upstreamList: Upstreams;
  private readonly followers: FileFollower[] = [];
  private readonly pending = new Map<string, Pending>();
  private timing: ResolutionTiming;
  private rotate = false;
  readonly queries: Budget;
  private readonly byGuest = new WeakMap<Guest, GuestQueries>();
  /** Counts configurations: pending queries of an old one are neither shared with a new one nor cached. */
  private generation = 0;
  private searchList: readonly string[] = [];

  constructor(options: DnsForwarderOptions) {
    this.options = options;
    this.queries = new Budget('queries', options.maxWaiting ?? MAX_WAITING);
    this.timing = options.timing ?? TIMING;
    this.upstreamList = new Upstreams(options.tlsAuthorities);
    if (options.upstreams !== undefined) this.upstreamList.replace(options.upstreams);
    // Followed even when the upstreams are fixed: for the search list.
    const resolvConf = options.resolvConf ?? '/etc/resolv.conf';
    this.follow(resolvConf, (text) => this.configure(resolvConf, text));
    if (options.hostsFile !== undefined) {
      this.follow(options.hostsFile, (text) => options.names.setHosts(parseHosts(text)));
    }
  }

  /** In use now. */
  get upstreams(): readonly DnsUpstream[] {
    return this.upstreamList.servers;
  }

  /** The host's. */
  get search(): readonly string[] {
    return this.searchList;
  }

  /** Queries that wait for an upstream. */
  get waitingCount(): number {
    return this.queries.held;
  }

  /**
   * @param message the forwarder may keep it
   * @param owner who asks
   * @param reply called at most once, perhaps before this returns, never after {@link close}
   * @returns false when the message deserves no answer, so that `reply` is never called
   */
  query(message: Uint8Array, transport: Transport, owner: Guest, reply: DnsReply): boolean {
    this.counts.add(transport === 'udp' ? 'queries-udp' : 'queries-tcp');
    const query = readQuery(message);
    if (typeof query === 'string') {
      return this.onProblem(query, message, transport, owner, reply);
    }
    if (query.type === TYPE_AXFR || query.type === TYPE_IXFR) {
      this.counts.add('zone-transfer'); // many messages for one query: not the task of a resolver
      reply(errorReply(query, NOTIMP));
      return true;
    }
    const fitted: DnsReply = (bytes) => {
      const rcode = dnsRcode(bytes);
      if (rcode !== NOERROR) this.options.onFailure?.(query, rcode);
      this.options.onAnswer?.(owner, query, bytes);
      reply(transport === 'tcp' ? bytes : fitUdp(bytes, udpLimit(query)));
    };
    const { families = EVERYTHING } = this.options;
    if (!concerns(families, query)) {
      this.find(query, transport, owner, fitted);
      return true;
    }
    answerGuest(
      query,
      families,
      (asked, found) => this.find(asked, transport, owner, found),
      (bytes, shaping) => {
        if (shaping !== undefined) this.counts.add(shaping);
        fitted(bytes);
      },
    );
    return true;
  }

  /** Whatever guests may use: `found` is called at most once, perhaps before this returns. */
  find(query: DnsQuery, transport: Transport, owner: Guest, found: Found): void {
    const local = this.options.names.answer(query);
    if (local !== undefined) {
      this.counts.add('answered-locally');
      found(local, 'ours');
      return;
    }
    const { policy } = this.options;
    const now = this.options.now();
    const refusal = policy?.refusal(owner, query, now);
    if (refusal !== undefined) {
      this.counts.add('denied');
      found(refusal, 'denied');
      return;
    }
    const { ask } = this.options;
    if (ask === undefined) {
      this.resolve(query, transport, owner, found);
      return;
    }
    ask(owner, query, (reply) => {
      if (reply === undefined) this.resolve(query, transport, owner, found);
      else found(reply, 'ours');
    });
  }

  private resolve(query: DnsQuery, transport: Transport, owner: Guest, found: Found): void {
    const proxied = this.options.proxied?.current?.answer(owner, query, this.options.now());
    if (proxied !== undefined) {
      this.counts.add('answered-locally');
      found(proxied, 'ours');
      return;
    }
    const { policy } = this.options;
    const now = this.options.now();
    const cached = this.cache.get(query, now);
    if (cached !== undefined) {
      this.counts.add('answered-from-cache');
      found(policy?.police(owner, query, cached) ?? cached, 'dns');
      return;
    }
    const excess = policy?.excess(owner, query, now);
    if (excess !== undefined) {
      this.counts.add('too-many-names');
      found(excess, 'denied');
      return;
    }
    this.forward(query.bytes, query, transport, owner, (bytes, isFailure) => {
      if (isFailure) found(bytes, 'failure');
      else found(policy?.police(owner, query, bytes) ?? bytes, 'dns');
    });
  }

  /**
   * Read the followed files now, instead of when a change is noticed.
   *
   * @returns what could not be read, and why
   */
  reload(): readonly string[] {
    return this.followers.flatMap((follower) => follower.read()?.message ?? []);
  }

  close(): void {
    for (const follower of this.followers) follower.close();
    for (const { resolution } of this.pending.values()) resolution.cancel();
    this.pending.clear();
    this.upstreamList.close();
  }

  private onProblem(
    problem: QueryProblem,
    message: Uint8Array,
    transport: Transport,
    owner: Guest,
    reply: DnsReply,
  ): boolean {
    this.counts.add(problem);
    switch (problem) {
      case 'dns-truncated':
      case 'dns-not-a-query': // answering responses would make loops
        return false;
      case 'dns-malformed':
        reply(headerReply(message, FORMERR));
        return true;
      case 'dns-opaque':
        if (this.options.policy?.refusesUnreadable === true) {
          this.counts.add('denied');
          reply(headerReply(message, REFUSED));
          return true;
        }
        this.forward(message, undefined, transport, owner, reply);
        return true;
    }
  }

  private forward(
    message: Uint8Array,
    query: DnsQuery | undefined,
    transport: Transport,
    owner: Guest,
    reply: UpstreamReply,
  ): void {
    const order = this.upstreamList.inOrder(this.options.now(), this.rotate);
    if (order.length === 0) {
      this.onFailed(query, 'there is no nameserver');
      reply(failureReply(message, query), true);
      return;
    }
    const own = this.queriesOf(owner);
    if (!own.share.take()) {
      this.counts.add('too-many-waiting');
      reply(failureReply(message, query), true);
      return;
    }
    const waiter = { id: dnsId(message), reply };
    const generation = this.generation;
    const bytes = Buffer.from(withId(message, 0)).toString('latin1');
    // Not shared with other guests: who gives way gives up its own queries alone.
    const key = `${generation} ${owner.id} ${transport} ${bytes}`;
    const joined = this.pending.get(key);
    if (joined !== undefined) {
      this.counts.add('joined');
      joined.waiters.push(waiter);
      return;
    }
    this.counts.add('forwarded');
    const now = this.options.now;
    const { timing } = this;
    const { sockets } = own;
    const proxied = this.options.proxied?.current;
    const isProxied = query !== undefined && proxied?.asks(owner, query) === true;
    const ask = isProxied ? proxied.ask.bind(proxied) : undefined;
    const evict = (): void => this.evict(own, pending);
    const resolution = new Resolution(
      { query: message, transport, order, timing, sockets, evict, now, ask },
      (answer) => {
        if (answer === undefined) this.onFailed(query, 'no nameserver answered');
        else if (query !== undefined && generation === this.generation) {
          this.cache.put(query, new Uint8Array(answer), now());
        }
        if (answer !== undefined && query !== undefined) this.logRefusal(query, answer);
        this.end(own, pending, answer);
      },
    );
    const pending = new Pending(key, resolution, [waiter], () => failureReply(message, query));
    this.pending.set(key, pending);
    own.pending.add(pending);
    resolution.start();
  }

  /** @param answer undefined: there is none */
  private end(own: GuestQueries, pending: Pending, answer: Uint8Array | undefined): void {
    const { key, waiters } = pending;
    this.pending.delete(key);
    own.pending.delete(pending);
    own.share.give(waiters.length);
    const result = answer ?? pending.failure();
    for (const waiter of waiters) deliver(waiter, result, answer === undefined);
  }

  private queriesOf(guest: Guest): GuestQueries {
    const known = this.byGuest.get(guest);
    if (known !== undefined) return known;
    const own: GuestQueries = new GuestQueries(guest, this.queries, this.options.sockets, () =>
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
    this.counts.add('evicted');
    pending.resolution.cancel();
    this.end(own, pending, undefined);
  }

  private onFailed(query: DnsQuery | undefined, why: string): void {
    this.counts.add('failed');
    const upstreams = this.upstreams.map(upstreamText);
    const { name, type } = query ?? {};
    this.options.log.debug({ name, type, why, upstreams }, 'DNS query failed');
  }

  /** For the diagnosis of "no network": names that do not exist. */
  private logRefusal({ name, type }: DnsQuery, answer: Uint8Array): void {
    const rcode = RCODES[dnsRcode(answer)];
    if (rcode !== undefined) this.options.log.debug({ name, type, rcode }, 'DNS query refused');
  }

  private configure(path: string, text: string): void {
    const config = parseResolvConf(text);
    this.searchList = config.search;
    this.options.onSearch?.(config.search);
    if (this.options.upstreams !== undefined) return;
    const servers = config.upstreams.length > 0 ? config.upstreams : [DEFAULT_UPSTREAM];
    this.upstreamList.replace(servers);
    this.generation++;
    this.cache.clear();
    const { attempts, useVc, timeoutMs } = config;
    const given = this.options.timing ?? TIMING;
    const attemptMs = this.options.timing?.attemptMs ?? timeoutMs ?? TIMING.attemptMs;
    this.timing = { ...given, attemptMs, attempts, useVc };
    this.rotate = config.rotate;
    const upstreams = servers.map(upstreamText);
    this.options.log.info({ path, upstreams, search: config.search }, 'resolver configuration');
    this.options.onNameServers?.();
  }

  private follow(path: string, onText: (text: string) => void): void {
    const follower = new FileFollower(path, onText, this.options.following);
    this.followers.push(follower);
    const problem = follower.read();
    if (problem === undefined || errorCode(problem) === 'ENOENT') return;
    this.options.log.warn({ path, reason: problem.message }, 'a file of names cannot be read');
  }
}

/** Where code of ours throws for one, the others that asked the same have their answer. */
function deliver({ id, reply }: Waiter, message: Uint8Array, isFailure: boolean): void {
  try {
    reply(withId(message, id), isFailure);
  } catch (fault) {
    reportFault('dns', fault);
  }
}

/** SERVFAIL: no server answered, so nothing is known about the name. */
const failureReply = (message: Uint8Array, query: DnsQuery | undefined): Uint8Array =>
  query === undefined ? headerReply(message, SERVFAIL) : errorReply(query, SERVFAIL);
