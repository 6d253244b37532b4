/** The forms of the options of upstream proxies. */
import {
  isNoProxyEntry,
  NO_PROXY_FORM,
  noProxyEntries,
} from '../../services/upstream-proxy/no-proxy.ts';
import {
  PROXY_URL_FORM,
  type ProxyServer,
  parseProxyServer,
} from '../../services/upstream-proxy/proxy-server.ts';
import { bad, ok, type Parsed } from '../parsed.ts';

export const PROXY_NAMES = ['host', 'proxy'] as const;
/** Who resolves the names that guests ask for. */
export type ProxyNamesUse = (typeof PROXY_NAMES)[number];

/** The variables of the environment. */
export const FROM_ENVIRONMENT = 'env';

export interface ProxyFor {
  readonly server: ProxyServer;
  /** Undefined: whatever it can do. */
  readonly kind: 'http' | 'https' | undefined;
}

export function parseProxyFor(text: string): Parsed<ProxyFor> {
  const [, kind, url = ''] = /^(?:(http|https)=)?(.*)$/.exec(text) ?? [];
  const server = parseProxyServer(url);
  return server === undefined
    ? bad(`must be ${PROXY_URL_FORM}, of http= or https= alone where that is in front; or env`)
    : ok({ server, kind: kind === 'http' || kind === 'https' ? kind : undefined });
}

export const parseUpstreamProxy = (text: string): Parsed<string> => {
  const parsed = text === FROM_ENVIRONMENT ? ok(text) : parseProxyFor(text);
  return 'problem' in parsed ? parsed : ok(text);
};

/** A list with commas, or one of them. */
export function parseNoProxy(text: string): Parsed<string> {
  const odd = noProxyEntries(text).find((entry) => !isNoProxyEntry(entry));
  return odd === undefined ? ok(text) : bad(`${odd} is not of the form ${NO_PROXY_FORM}`);
}
