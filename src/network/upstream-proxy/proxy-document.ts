/** Which upstream proxies are in use, as a document: of the options, and of the control API, whose keys are the same. */
import * as z from 'zod';
import { ProxyError } from '../../control/proxy-view.ts';
import { readSmallFile } from '../../native/read-small-file.ts';
import { NoProxy, noProxyEntries } from '../../services/upstream-proxy/no-proxy.ts';
import {
  NO_RULES,
  type ProxyRules,
  UNNAMED_RULES,
  type UnnamedRule,
} from '../../services/upstream-proxy/proxy-rules.ts';
import {
  authority,
  type ProxyCredentials,
  type ProxyServer,
  parseCredentials,
} from '../../services/upstream-proxy/proxy-server.ts';
import { messageOf } from '../errors.ts';
import { list, oneOf, textAsIs } from '../option-schema.ts';
import {
  FROM_ENVIRONMENT,
  PROXY_NAMES,
  type ProxyFor,
  type ProxyNamesUse,
  parseNoProxy,
  parseProxyFor,
  parseUpstreamProxy,
} from './proxy-options.ts';

export interface ProxyDocument {
  readonly upstreamProxy: readonly string[];
  readonly proxyExclude: readonly string[];
  readonly proxyAuthFile: string | undefined;
  readonly proxyUnnamed: UnnamedRule;
  /** Undefined: as the scheme of the proxy has it. */
  readonly proxyNames: ProxyNamesUse | undefined;
  readonly httpPorts: readonly number[];
  readonly httpsPorts: readonly number[];
  /** Where the gateway is a proxy itself. */
  readonly gatewayPorts: readonly number[];
}

/** As squid has it. */
const GATEWAY_PORTS = [3128];

const ports = (ifAbsent: readonly number[]): z.ZodType<readonly number[]> =>
  z
    .array(z.int().min(1).max(65_535))
    .max(64)
    .default([...ifAbsent]);

const documentSchema = (): z.ZodType<ProxyDocument> =>
  z.strictObject({
    upstreamProxy: list(textAsIs(parseUpstreamProxy)).default([]),
    proxyExclude: list(textAsIs(parseNoProxy)).default([]),
    proxyAuthFile: z.string().min(1).optional(),
    proxyUnnamed: oneOf(UNNAMED_RULES).default('connect'),
    proxyNames: oneOf(PROXY_NAMES).optional(),
    httpPorts: ports(NO_RULES.httpPorts),
    httpsPorts: ports(NO_RULES.httpsPorts),
    gatewayPorts: ports(GATEWAY_PORTS),
  }) as z.ZodType<ProxyDocument>;

/** @throws ProxyError */
export function readProxyDocument(value: unknown): ProxyDocument {
  const result = documentSchema().safeParse(value);
  if (result.success) return result.data;
  throw new ProxyError(
    result.error.issues
      .map(({ path, message }) => `${path.join('.') || 'it'}: ${message}`)
      .join('\n'),
  );
}

/**
 * @param env of the process, for the document that asks for it
 * @returns undefined: there is no proxy
 * @throws ProxyError
 */
export function proxyRules(
  document: ProxyDocument,
  env: NodeJS.ProcessEnv,
): ProxyRules | undefined {
  const usesEnv = document.upstreamProxy.includes(FROM_ENVIRONMENT);
  const named = document.upstreamProxy.filter((text) => text !== FROM_ENVIRONMENT);
  const proxies = [...(usesEnv ? ofEnvironment(env) : []), ...named].map(required);
  const credentials = credentialsOf(document.proxyAuthFile);
  const find = (kind: 'http' | 'https' | undefined): ProxyServer | undefined => {
    const own = proxies.findLast((one) => one.kind === kind && kind !== undefined);
    const server = (own ?? proxies.findLast((one) => one.kind === undefined))?.server;
    return server && { ...server, credentials: server.credentials ?? credentials };
  };
  const general = find(undefined);
  const other = general?.scheme === 'http' ? undefined : general;
  const [http, https] = [find('http'), find('https')];
  if (http === undefined && https === undefined && other === undefined) return undefined;
  const all = [...document.proxyExclude, ...(usesEnv ? [variable(env, 'no_proxy') ?? ''] : [])];
  const resolvesNames =
    document.proxyNames === undefined
      ? [http, https, other].some((server) => server?.scheme === 'socks5h')
      : document.proxyNames === 'proxy';
  return {
    ...{ http, https, other, resolvesNames },
    httpPorts: document.httpPorts,
    httpsPorts: document.httpsPorts,
    exclude: new NoProxy(all.flatMap(noProxyEntries)),
    unnamed: document.proxyUnnamed,
  };
}

/** Without what is secret. */
export function shownProxies({ upstreamProxy }: ProxyDocument): readonly string[] {
  return upstreamProxy.map((text) => {
    if (text === FROM_ENVIRONMENT) return text;
    const { kind, server } = required(text);
    return `${kind === undefined ? '' : `${kind}=`}${server.scheme}://${authority(server)}`;
  });
}

/** As curl reads them. */
function ofEnvironment(env: NodeJS.ProcessEnv): readonly string[] {
  const [http, https, all] = [
    env['http_proxy'], // not in capitals: of CGI that is a header of a request
    variable(env, 'https_proxy'),
    variable(env, 'all_proxy'),
  ];
  const given = [
    ...(all === undefined ? [] : [all]),
    ...(http === undefined || http === '' ? [] : [`http=${http}`]),
    ...(https === undefined ? [] : [`https=${https}`]),
  ];
  for (const text of given) {
    const parsed = parseProxyFor(text);
    if ('problem' in parsed) {
      throw new ProxyError(`a proxy of the environment ${parsed.problem}`);
    }
  }
  return given;
}

const variable = (env: NodeJS.ProcessEnv, name: string): string | undefined =>
  env[name] || env[name.toUpperCase()] || undefined;

function required(text: string): ProxyFor {
  const parsed = parseProxyFor(text);
  if ('value' in parsed) return parsed.value;
  throw new ProxyError(`upstreamProxy: ${parsed.problem}`);
}

function credentialsOf(path: string | undefined): ProxyCredentials | undefined {
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = readSmallFile(path);
  } catch (error) {
    throw new ProxyError(`proxyAuthFile: ${path} cannot be read: ${messageOf(error)}`);
  }
  const credentials = parseCredentials(text.split(/\r?\n/, 1)[0] ?? '');
  if (credentials !== undefined) return credentials;
  throw new ProxyError(`proxyAuthFile: the first line of ${path} must be USER:PASSWORD`);
}
