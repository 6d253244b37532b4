/**
 * Names that only a proxy resolves: a question for addresses is answered by one that stands for the name (see
 * `SyntheticNames`), and there are none of IPv6; any other question goes to the configured resolver by DNS over TCP
 * through the proxy. Our own names, and those that are excluded, are resolved as ever.
 */
import type { Answer } from 'dns-packet';
import type { Instant } from '../../base/time.ts';
import {
  CLASS_IN,
  type DnsQuery,
  NOERROR,
  NXDOMAIN,
  TYPE_A,
  TYPE_AAAA,
  TYPE_HTTPS,
  TYPE_SVCB,
} from '../../services/dns/message.ts';
import { localReply } from '../../services/dns/reply.ts';
import { soa } from '../../services/dns/soa.ts';
import { statedName } from '../../services/sniff/host-name.ts';
import { openHandshake } from '../../services/upstream-proxy/open-handshake.ts';
import type { ProxyRules } from '../../services/upstream-proxy/proxy-rules.ts';
import type { Guest } from '../../stack/guest.ts';
import type { Dial } from '../dns/ask.ts';
import type { ProxiedNames } from '../dns/proxied-names.ts';
import type { ProxyDialDeps } from './proxy-dial.ts';
import { SYNTHETIC_TTL_S, type SyntheticNames } from './synthetic-names.ts';
import { openSocket } from './tunnel-socket.ts';

const TTL_S = 5;
/** Of the neighbourhood and of addresses: nothing that a proxy resolves. */
const NOT_FOR_PROXY = /(^|\.)(local|arpa)$/;
/** Hints in these are addresses, and keys that hide names. */
const WITHOUT_DATA: ReadonlySet<number> = new Set([TYPE_AAAA, TYPE_HTTPS, TYPE_SVCB]);

export interface ProxiedDnsDeps {
  readonly names: SyntheticNames;
  readonly dial: ProxyDialDeps;
  readonly rules: () => ProxyRules;
  /** Who asks for hawser's own needs. */
  readonly ourselves: Guest;
}

export class ProxiedDns implements ProxiedNames {
  private readonly deps: ProxiedDnsDeps;

  constructor(deps: ProxiedDnsDeps) {
    this.deps = deps;
  }

  answer(owner: Guest, query: DnsQuery, now: Instant): Uint8Array | undefined {
    const name = this.nameOf(owner, query);
    if (name === undefined) return undefined;
    if (WITHOUT_DATA.has(query.type)) return reply(query, NOERROR, name, []);
    if (query.type !== TYPE_A) return undefined;
    const address = name.includes('.') ? this.deps.names.addressOf(now, owner, name) : undefined;
    if (address === undefined) return reply(query, NXDOMAIN, name, []);
    const record: Answer = { type: 'A', name, ttl: SYNTHETIC_TTL_S, data: address.toString() };
    return reply(query, NOERROR, name, [record]);
  }

  asks(owner: Guest, query: DnsQuery): boolean {
    return this.nameOf(owner, query) !== undefined;
  }

  readonly dial: Dial = ({ address, port }, opened) => {
    const { dial, rules } = this.deps;
    const { other, https, http } = rules();
    const server = other ?? https ?? http;
    if (server === undefined) {
      setImmediate(() => opened('there is no proxy any more'));
      return () => {};
    }
    return openSocket(dial, server, openHandshake(server, { host: address, port }), (got) =>
      opened('code' in got ? got.code : got),
    );
  };

  /** @returns undefined: it is resolved as ever */
  private nameOf(owner: Guest, { name, klass }: DnsQuery): string | undefined {
    const { ourselves, rules } = this.deps;
    const stated = owner === ourselves || klass !== CLASS_IN ? undefined : statedName(name);
    if (stated === undefined || NOT_FOR_PROXY.test(stated)) return undefined;
    return rules().exclude.hasName(stated, 443) || rules().exclude.hasName(stated, 80)
      ? undefined
      : stated;
  }
}

function reply(query: DnsQuery, rcode: number, zone: string, answers: Answer[]): Uint8Array {
  const authorities = answers.length > 0 ? [] : [soa(zone, TTL_S)];
  return localReply(query, rcode, { answers, authorities });
}
