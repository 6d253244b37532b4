/** Upstreams as `--dns` takes them: `IP`, `IP#PORT`, `tls://IP`, `tls://[IP]:PORT#NAME`. */
import { parseAddress } from '../address-text.ts';
import type { DnsUpstream } from './resolv-conf.ts';

/** RFC 7858 §3.1. */
const TLS_PORT = 853;
const TLS_URL = /^tls:\/\/(?:\[([^\]]+)\]|([^[\]:/#]+))(?::(\d{1,5}))?(?:#([^#]+))?$/i;
const NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

/** @returns undefined when `text` is no `tls://` upstream */
export function parseTlsUpstream(text: string): DnsUpstream | undefined {
  const [, ipv6, ipv4, digits, name] = TLS_URL.exec(text) ?? [];
  const address = ipv6 ?? ipv4 ?? '';
  const family = parseAddress(address)?.family;
  const port = digits === undefined ? TLS_PORT : Number(digits);
  const tlsName = (name ?? address).toLowerCase();
  if (family !== (ipv6 === undefined ? 4 : 6) || port < 1 || port > 65_535) return undefined;
  if (name !== undefined && !NAME.test(tlsName)) return undefined;
  return { address, port, tlsName };
}

/** In the form that `--dns` takes. */
export function upstreamText({ address, port, tlsName }: DnsUpstream): string {
  if (tlsName === undefined) return `${address}#${port}`;
  const host = address.includes(':') ? `[${address}]` : address;
  const name = tlsName === address.toLowerCase() ? '' : `#${tlsName}`;
  return `tls://${host}:${port}${name}`;
}
