/**
 * Upstreams as `--dns` takes them: `IP`, `IP#PORT`, `tls://HOST:PORT#NAME`, `https://HOST:PORT/PATH#NAME`. A host is an
 * address or a name, which the host resolves; the certificate has to be for NAME, or else for the host.
 */
import { parseAddress } from '../address-text.ts';
import type { DnsUpstream, DomainUpstream } from './resolv-conf.ts';

/** RFC 7858 §3.1. */
const TLS_PORT = 853;
const HTTPS_PORT = 443;
/** By convention; RFC 8484 has none. */
const HTTPS_PATH = '/dns-query';
/** What a URI template has for GET (RFC 8484 §4.1.1) is empty for POST. */
const TEMPLATE = /\{\?dns\}$/;
const URL =
  /^(tls|https):\/\/(?:\[([^\]]+)\]|([^[\]:/#]+))(?::(\d{1,5}))?(\/[^#\s]*)?(?:#([^#]+))?$/i;
const MAX_PATH_LEN = 1024;
const NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
/** The start of an address that is none. */
const ENDS_IN_NUMBER = /(^|\.)\d+$/;

/** @returns undefined when `text` is no `tls://` or `https://` upstream */
export function parseSecureUpstream(text: string): DnsUpstream | undefined {
  const [, scheme, ipv6, plain = '', digits, path, name] = URL.exec(text) ?? [];
  if (scheme === undefined) return undefined;
  const isHttps = scheme.toLowerCase() === 'https';
  const port = digits === undefined ? (isHttps ? HTTPS_PORT : TLS_PORT) : Number(digits);
  const address = ipv6 ?? (parseAddress(plain) === undefined ? plain.toLowerCase() : plain);
  const tlsName = (name ?? address).toLowerCase();
  if (!isHost(address, ipv6 !== undefined) || port < 1 || port > 65_535) return undefined;
  if (name !== undefined && !NAME.test(tlsName)) return undefined;
  if (!isHttps) return path === undefined ? { address, port, tlsName } : undefined;
  const httpsPath = (path ?? HTTPS_PATH).replace(TEMPLATE, '');
  if (httpsPath.length > MAX_PATH_LEN || !/^[!-~]+$/.test(httpsPath)) return undefined;
  return { address, port, tlsName, httpsPath };
}

/** In the form that `--dns` takes. */
export function upstreamText({ address, port, tlsName, httpsPath }: DnsUpstream): string {
  if (tlsName === undefined) return `${address}#${port}`;
  const host = address.includes(':') ? `[${address}]` : address;
  const name = tlsName === address.toLowerCase() ? '' : `#${tlsName}`;
  return httpsPath === undefined
    ? `tls://${host}:${port}${name}`
    : `https://${host}:${port}${httpsPath}${name}`;
}

/** In the form that `--dns-domain` takes. */
export const domainText = ({ domain, upstream }: DomainUpstream): string =>
  `${domain}=${upstreamText(upstream)}`;

function isHost(text: string, isBracketed: boolean): boolean {
  const family = parseAddress(text)?.family;
  if (isBracketed || family === 6) return isBracketed && family === 6;
  return family === 4 || (NAME.test(text) && !ENDS_IN_NUMBER.test(text));
}
