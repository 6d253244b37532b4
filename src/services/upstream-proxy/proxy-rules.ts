/** Which proxy is for what, as the options or a client of the control API say it. */
import { NoProxy } from './no-proxy.ts';
import type { ProxyServer } from './proxy-server.ts';

/** - `connect`: by address, through the proxy; `direct`: without it */
export const UNNAMED_RULES = ['connect', 'direct'] as const;
/** Of a flow whose client does not say where it wants to go. */
export type UnnamedRule = (typeof UNNAMED_RULES)[number];

export interface ProxyRules {
  /** Of TCP to `httpPorts`, and to `httpsPorts`. */
  readonly http: ProxyServer | undefined;
  readonly https: ProxyServer | undefined;
  /** Of everything else, and of UDP: one of SOCKS. */
  readonly other: ProxyServer | undefined;
  readonly httpPorts: readonly number[];
  readonly httpsPorts: readonly number[];
  readonly exclude: NoProxy;
  readonly unnamed: UnnamedRule;
  /** Only the proxy resolves names: guests get synthetic addresses for them. */
  readonly resolvesNames: boolean;
}

export const NO_RULES: ProxyRules = {
  ...{ http: undefined, https: undefined, other: undefined },
  ...{ httpPorts: [80], httpsPorts: [443] },
  exclude: new NoProxy([]),
  unnamed: 'connect',
  resolvesNames: false,
};

/** @returns undefined: it goes by itself */
export function proxyFor(
  rules: ProxyRules,
  protocol: 'tcp' | 'udp',
  port: number,
): ProxyServer | undefined {
  const { http, https, other, httpPorts, httpsPorts } = rules;
  if (protocol === 'udp') return other;
  if (httpPorts.includes(port)) return http;
  return httpsPorts.includes(port) ? https : other;
}

/** What a guest sends there first says where it wants to go. */
export const waitsForGuest = ({ httpPorts, httpsPorts }: ProxyRules, port: number): boolean =>
  httpPorts.includes(port) || httpsPorts.includes(port);

/** QUIC would pass by a proxy of HTTP: without it, browsers use TCP. */
export const bypassesProxy = (rules: ProxyRules, port: number): boolean =>
  rules.other === undefined && rules.https !== undefined && rules.httpsPorts.includes(port);
