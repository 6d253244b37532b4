/**
 * The guests' resolver: local names, then the cache, then the host's own upstreams.
 *
 * Messages are forwarded unchanged, except for ids and TTLs.
 */
import { Counters } from '../../base/counters.ts';
import type { Log } from '../../base/log.ts';
import type { Budget } from '../../base/shares/budget.ts';
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
import { HOSTS_MAX, parseHosts } from '../../services/dns/hosts.ts';
import { routesOfLinks } from '../../services/dns/link-state.ts';
import type { LocalNames } from '../../services/dns/local-names.ts';
import {
  type DnsQuery,
  dnsRcode,
  FORMERR,
  NOERROR,
  NOTIMP,
  type QueryProblem,
  REFUSED,
  readQuery,
  TYPE_AXFR,
  TYPE_IXFR,
  udpLimit,
} from '../../services/dns/message.ts';
import { errorReply, headerReply } from '../../services/dns/reply.ts';
import {
  type DnsUpstream,
  type DomainUpstream,
  parseResolvConf,
} from '../../services/dns/resolv-conf.ts';
import { copyQuestion, fitUdp } from '../../services/dns/surgery.ts';
import { domainText, upstreamText } from '../../services/dns/upstream-text.ts';
import type { Guest } from '../../stack/guest.ts';
import { HostLookup } from '../host-lookup.ts';
import type { DnsPolicy } from '../policy/dns-policy.ts';
import { FileFollower, type FileFollowerOptions } from './file-follower.ts';
import type { DnsReply } from './guest-queries.ts';
import type { ProxiedNames } from './proxied-names.ts';
import { QueryTrace } from './query-trace.ts';
import type { ResolutionTiming } from './resolution.ts';
import { ResolvedLinks } from './resolved-links.ts';
import { UpstreamQueries, type UpstreamQueryCount } from './upstream-queries.ts';
import { UpstreamRoutes } from './upstream-routes.ts';
import type { Transport } from './upstreams.ts';

/** Below the 5 s after which most stub resolvers give up, so that they receive the SERVFAIL. */
const TIMING: ResolutionTiming = { attemptMs: 1200, deadlineMs: 4800 };
/** resolv.conf(5): without a nameserver line, the one on this machine. */
const DEFAULT_UPSTREAM: DnsUpstream = { address: '127.0.0.1', port: 53 };

const EVERYTHING: FamilyPolicy = { hidesIpv4: false, hidesIpv6: false, dns64: undefined };

export interface DnsForwarderOptions {
  readonly names: LocalNames;
  readonly log: Log;
  readonly now: () => Instant;
  /** Default: guests get everything as it is. */
  readonly families?: FamilyPolicy | undefined;
  /** Fixed servers; without them those of `resolvConf`, followed live. */
  readonly upstreams?: readonly DnsUpstream[] | undefined;
  /** Servers of domains, in front of the others, and the only ones for them. */
  readonly domains?: readonly DomainUpstream[] | undefined;
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
  readonly policy?: QueryPolicy | undefined;
  /** Asked about names that are not ours and that the policy allows. */
  readonly ask?: AskAboutName | undefined;
  /** Those in use; undefined where there are none. */
  readonly proxied?: { readonly current: ProxiedNames | undefined } | undefined;
  /** Called for each query that is answered by an error, with its code. */
  readonly onFailure?: ((query: DnsQuery, rcode: number) => void) | undefined;
  /** Called for each answer to a query; borrows it. */
  readonly onAnswer?: OnAnswer | undefined;
  readonly timing?: ResolutionTiming | undefined;
  readonly following?: FileFollowerOptions | undefined;
  /** Authorities that vouch for upstreams over TLS, in PEM; default: Node's. */
  readonly tlsAuthorities?: string | undefined;
  /** For upstreams that are named. */
  readonly lookup?: HostLookup | undefined;
}

export type QueryPolicy = Pick<
  DnsPolicy,
  'refusesUnreadable' | 'refusal' | 'excess' | 'sent' | 'police' | 'policeKept'
>;

export type OnAnswer = (
  owner: Guest,
  query: DnsQuery,
  reply: Uint8Array,
  trace: QueryTrace,
) => void;

/** @param answered called at most once, maybe at once: with an answer, or undefined for one of the upstreams */
export type AskAboutName = (
  owner: Guest,
  query: DnsQuery,
  answered: (reply: Uint8Array | undefined) => void,
) => void;

export type DnsCount =
  | QueryProblem
  | Shaping
  | UpstreamQueryCount
  | 'queries-udp'
  | 'queries-tcp'
  | 'answered-locally'
  | 'answered-from-cache'
  | 'zone-transfer'
  /** By the policy. */
  | 'denied'
  /** Of a guest within a minute, under a policy. */
  | 'too-many-names'
  /** Connections ended: idle, in favour of others beyond a limit, or with answers that the guest did not read. */
  | 'tcp-idle'
  | 'tcp-evicted'
  | 'tcp-unread';

export class DnsForwarder {
  readonly counts: Counters<DnsCount> = new Counters();
  readonly cache: DnsCache = new DnsCache();
  private readonly options: DnsForwarderOptions;
  private readonly routes: UpstreamRoutes;
  private readonly followers: FileFollower[] = [];
  private readonly links: ResolvedLinks;
  private resolverText = '';
  private readonly upstreamQueries: UpstreamQueries;
  private searchList: readonly string[] = [];

  constructor(options: DnsForwarderOptions) {
    this.options = options;
    const secure = {
      authorities: options.tlsAuthorities,
      lookup: options.lookup ?? new HostLookup(),
      log: options.log,
    };
    this.routes = new UpstreamRoutes(secure, options.domains ?? []);
    const { routes: upstreams, cache, counts } = this;
    const timing = options.timing ?? TIMING;
    this.upstreamQueries = new UpstreamQueries({ ...options, upstreams, cache, counts }, timing);
    if (options.upstreams !== undefined) this.routes.replace(options.upstreams);
    // Followed even when the upstreams are fixed: for the search list.
    const resolvConf = options.resolvConf ?? '/etc/resolv.conf';
    const { following } = options;
    this.links = new ResolvedLinks(
      () => this.configure(resolvConf, this.resolverText),
      options.log,
      following?.pollMs,
    );
    this.follow(resolvConf, (text) => this.configure(resolvConf, text));
    if (options.hostsFile !== undefined) {
      const path = options.hostsFile;
      this.follow(path, (text) => this.setHosts(path, text));
    }
  }

  /** In use now. */
  get upstreams(): readonly DnsUpstream[] {
    return this.routes.servers;
  }

  get domains(): readonly DomainUpstream[] {
    return this.routes.domains;
  }

  /** The host's. */
  get search(): readonly string[] {
    return this.searchList;
  }

  /** Those that wait for an upstream. */
  get queries(): Budget {
    return this.upstreamQueries.budget;
  }

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
    const trace = new QueryTrace(this.options.now());
    const fitted: DnsReply = (bytes) => {
      const rcode = dnsRcode(bytes);
      if (rcode !== NOERROR) this.options.onFailure?.(query, rcode);
      this.options.onAnswer?.(owner, query, bytes, trace);
      reply(transport === 'tcp' ? bytes : fitUdp(bytes, udpLimit(query)));
    };
    const { families = EVERYTHING } = this.options;
    if (!concerns(families, query)) {
      this.find(query, transport, owner, fitted, trace);
      return true;
    }
    answerGuest(
      query,
      families,
      (asked, found) => this.find(asked, transport, owner, found, trace),
      (bytes, shaping) => {
        if (shaping !== undefined) this.counts.add(shaping);
        fitted(bytes);
      },
    );
    return true;
  }

  /** Whatever guests may use: `found` is called at most once, perhaps before this returns. */
  find(
    query: DnsQuery,
    transport: Transport,
    owner: Guest,
    found: Found,
    trace: QueryTrace = new QueryTrace(0),
  ): void {
    const local = this.options.names.answer(query);
    if (local !== undefined) {
      trace.source = 'local';
      this.counts.add('answered-locally');
      found(local, 'ours');
      return;
    }
    const { policy } = this.options;
    const now = this.options.now();
    const refusal = policy?.refusal(owner, query, now);
    if (refusal !== undefined) {
      this.counts.add('denied');
      trace.isDenied = true;
      found(refusal, 'denied');
      return;
    }
    const { ask } = this.options;
    if (ask === undefined) {
      this.resolve(query, transport, owner, found, trace);
      return;
    }
    ask(owner, query, (reply) => {
      if (reply === undefined) {
        this.resolve(query, transport, owner, found, trace);
        return;
      }
      trace.source = 'hook';
      found(reply, 'ours');
    });
  }

  private resolve(
    query: DnsQuery,
    transport: Transport,
    owner: Guest,
    found: Found,
    trace: QueryTrace,
  ): void {
    const proxied = this.options.proxied?.current?.answer(owner, query, this.options.now());
    if (proxied !== undefined) {
      this.counts.add('answered-locally');
      trace.source = 'local';
      found(proxied, 'ours');
      return;
    }
    const { policy } = this.options;
    const now = this.options.now();
    const cached = this.cache.get(query, now);
    if (cached !== undefined) {
      this.counts.add('answered-from-cache');
      trace.source = 'cache';
      const { bytes, kept } = cached;
      found(policy?.policeKept(owner, query, bytes, trace, kept, now) ?? bytes, 'dns');
      return;
    }
    const excess = policy?.excess(owner, query, now);
    if (excess !== undefined) {
      this.counts.add('too-many-names');
      trace.isDenied = true;
      found(excess, 'denied');
      return;
    }
    const sent = policy?.sent(query) ?? query.bytes;
    this.upstreamQueries.forward(sent, query, transport, owner, (bytes, from) => {
      if (sent !== query.bytes) copyQuestion(query.bytes, bytes);
      trace.upstream = from;
      trace.source = from === undefined ? undefined : 'upstream';
      if (from === undefined) found(bytes, 'failure');
      else found(policy?.police(owner, query, bytes, trace) ?? bytes, 'dns');
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
    this.links.close();
    this.upstreamQueries.close();
    this.routes.close();
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
        this.upstreamQueries.forward(message, undefined, transport, owner, reply);
        return true;
    }
  }

  private setHosts(path: string, text: string): void {
    const entries = parseHosts(text);
    this.options.names.setHosts(entries);
    if (entries.length < HOSTS_MAX) return;
    this.options.log.warn(
      { path, entries: HOSTS_MAX },
      'a file of names is too long: the rest is left out',
    );
  }

  private configure(path: string, text: string): void {
    const config = parseResolvConf(text);
    this.resolverText = text;
    this.searchList = config.search;
    this.options.onSearch?.(config.search);
    if (this.options.upstreams !== undefined) return;
    const listed = config.upstreams.length > 0 ? config.upstreams : [DEFAULT_UPSTREAM];
    const { general: servers, domains } = routesOfLinks(this.links.of(path), listed);
    this.routes.replace(servers);
    this.routes.replaceLinks(domains);
    const { attempts, useVc, timeoutMs } = config;
    const given = this.options.timing ?? TIMING;
    const attemptMs = this.options.timing?.attemptMs ?? timeoutMs ?? TIMING.attemptMs;
    const timing = { ...given, attemptMs, attempts, useVc };
    this.upstreamQueries.reconfigure(timing, config.rotate);
    const upstreams = servers.map(upstreamText);
    const fields = { path, upstreams, domains: domains.map(domainText), search: config.search };
    this.options.log.info(fields, 'resolver configuration');
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
