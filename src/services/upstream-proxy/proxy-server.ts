/** Proxies between the host and the Internet, as people write them down: `http://USER:PASSWORD@proxy.example:3128`. */
import { statedName } from '../sniff/host-name.ts';

export interface ProxyServer {
  readonly scheme: ProxyScheme;
  /** A name or an address, the latter without brackets. */
  readonly host: string;
  readonly port: number;
  readonly credentials: ProxyCredentials | undefined;
}

/** - `socks5h`: only the proxy resolves names */
const PROXY_SCHEMES = ['http', 'socks5', 'socks5h'] as const;
export type ProxyScheme = (typeof PROXY_SCHEMES)[number];

export interface ProxyCredentials {
  readonly user: string;
  readonly password: string;
}

/** Where a flow is to end. */
export interface ProxyTarget {
  /** A name or an address, the latter without brackets. */
  readonly host: string;
  readonly port: number;
}

const DEFAULT_PORTS: Readonly<Record<ProxyScheme, number>> = {
  http: 80,
  socks5: 1080,
  socks5h: 1080,
};
const FORM =
  /^(?:([a-z0-9+.-]+):\/\/)?(?:([^@/]*)@)?(\[[0-9a-f:.]+\]|[^:/[\]@]+)(?::([0-9]{1,5}))?\/?$/i;
/** RFC 1929 §2, and more than a header of any server takes. */
const MAX_CREDENTIAL = 255;

export const PROXY_URL_FORM = 'http://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT';

/** @returns undefined for what is no proxy that can be used; without a scheme it is one of HTTP */
export function parseProxyServer(text: string): ProxyServer | undefined {
  const [, scheme = 'http', userinfo, host = '', digits] = FORM.exec(text) ?? [];
  const known = PROXY_SCHEMES.find((one) => one === scheme.toLowerCase());
  const name = host.startsWith('[') ? host.slice(1, -1).toLowerCase() : statedName(host);
  const credentials = userinfo === undefined ? undefined : readUserinfo(userinfo);
  if (known === undefined || name === undefined || name === '') return undefined;
  if (userinfo !== undefined && credentials === undefined) return undefined;
  const port = digits === undefined ? DEFAULT_PORTS[known] : Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  return { scheme: known, host: name, port, credentials };
}

/** Without what is secret. */
export const proxyText = ({ scheme, host, port }: ProxyServer): string =>
  `${scheme}://${authority({ host, port })}`;

export const authority = ({ host, port }: ProxyTarget): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** `USER:PASSWORD`, as a file has it in its first line. @returns undefined where it is none, or too long */
export function parseCredentials(line: string): ProxyCredentials | undefined {
  const colon = line.indexOf(':');
  if (colon < 1) return undefined;
  const [user, password] = [line.slice(0, colon), line.slice(colon + 1)];
  const isSound = [user, password].every(
    (part) => utf8(part).length <= MAX_CREDENTIAL && /^[^\p{Cc}]*$/u.test(part),
  );
  return isSound ? { user, password } : undefined;
}

function readUserinfo(text: string): ProxyCredentials | undefined {
  const [user = '', ...rest] = text.split(':');
  try {
    return parseCredentials(`${decodeURIComponent(user)}:${decodeURIComponent(rest.join(':'))}`);
  } catch {
    return undefined; // a percent sign without two digits
  }
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
