/** The host's resolver configuration, resolv.conf(5), and the `IP#PORT` of `--dns`. */

import { parseAddress } from '../address-text.ts';
import { DNS_PORT } from './message.ts';

/** A server to forward to. */
export interface DnsUpstream {
  /** IPv4 or IPv6, the latter perhaps with a zone: `fe80::1%eth0`. Over TLS also a name, which the host resolves. */
  readonly address: string;
  readonly port: number;
  /** Over TLS alone: what its certificate has to name, which may be the address. */
  readonly tlsName?: string | undefined;
  /** Over HTTPS (RFC 8484) with this path; undefined: over TLS without it (RFC 7858). */
  readonly httpsPath?: string | undefined;
}

/** A domain, lower case without the last dot, and one of the servers that know the names in it. */
export interface DomainUpstream {
  readonly domain: string;
  readonly upstream: DnsUpstream;
}

export interface ResolverConfig {
  readonly upstreams: readonly DnsUpstream[];
  readonly search: readonly string[];
  /** Of one attempt; undefined when the file has none. */
  readonly timeoutMs: number | undefined;
  /** How often each server is asked. */
  readonly attempts: number | undefined;
  /** Each query starts with the next server. */
  readonly rotate: boolean;
  /** Servers are asked over TCP only. */
  readonly useVc: boolean;
}

/** resolv.conf(5) keeps 3; VPNs write more and expect them to be used. */
const MAX_UPSTREAMS = 8;
const MAX_SEARCH = 32;
/** resolv.conf(5): silently capped. */
const MAX_TIMEOUT_S = 30;
const MAX_ATTEMPTS = 5;

/** Never fails: invalid lines are skipped, as by resolvers. */
export function parseResolvConf(text: string): ResolverConfig {
  const upstreams: DnsUpstream[] = [];
  let search: string[] = [];
  let timeoutMs: number | undefined;
  let attempts: number | undefined;
  let rotate = false;
  let useVc = false;
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;]\s.*$|^\s*[#;].*$/, '')
      .trim()
      .split(/\s+/);
    switch (keyword) {
      case 'nameserver': {
        const upstream = parseUpstream(values[0] ?? '');
        if (upstream !== undefined && upstreams.length < MAX_UPSTREAMS) upstreams.push(upstream);
        break;
      }
      case 'search':
      case 'domain': // the last of either wins
        search = values.slice(0, MAX_SEARCH).map((name) => name.replace(/\.$/, '').toLowerCase());
        search = search.filter((name) => name !== '');
        break;
      case 'options':
        for (const option of values) {
          if (option === 'rotate') rotate = true;
          if (option === 'use-vc' || option === 'usevc' || option === 'tcp') useVc = true;
          const [, name, digits] = /^(timeout|attempts):(\d{1,6})$/.exec(option) ?? [];
          const value = Math.max(1, Number(digits));
          if (name === 'timeout') timeoutMs = Math.min(value, MAX_TIMEOUT_S) * 1000;
          if (name === 'attempts') attempts = Math.min(value, MAX_ATTEMPTS);
        }
        break;
    }
  }
  return { upstreams, search, timeoutMs, attempts, rotate, useVc };
}

/** @returns undefined when `text` is not `IP` or `IP#PORT` */
export function parseUpstream(text: string): DnsUpstream | undefined {
  const [, address = '', zone = '', digits] =
    /^([^#%]+)(%[\w.-]+)?(?:#(\d{1,5}))?$/.exec(text) ?? [];
  const parsed = parseAddress(address);
  const port = digits === undefined ? DNS_PORT : Number(digits);
  if (parsed === undefined || port < 1 || port > 65_535) return undefined;
  if (zone !== '' && parsed.family === 4) return undefined;
  return { address: address + zone, port };
}
