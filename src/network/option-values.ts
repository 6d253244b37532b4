/** The forms of option values that are text. */

import { isIP, isIPv4 } from 'node:net';
import { type BindRule, parseBindRule } from '../control/ports/bind-rules.ts';
import { relativePathProblem } from '../native/current-directory.ts';
import { parseTargetRule, TARGET_RULE_FORM, type TargetRule } from '../proxy/agent/target-rules.ts';
import type { PublishSpec } from '../proxy/ports/publish-spec.ts';
import { PublishSyntaxError, parsePublish } from '../proxy/ports/publish-text.ts';
import { parseAddress } from '../services/address-text.ts';
import { parseSecureUpstream } from '../services/dns/upstream-text.ts';
import { type LinkSpec, LinkSpecError, parseLinkSpec } from '../transports/link-spec.ts';
import { formatMuxLink, MuxLinkSpecError, parseMuxLink } from '../transports/mux/mux-link-spec.ts';
import { parseEndpoint, unixPathProblem } from '../transports/stream-address.ts';
import { isOrigin } from '../transports/ws/ws-origin.ts';
import type {
  DnsDomain,
  DnsUpstream,
  DnsZone,
  LeaseRange,
  StaticLease,
  VpnkitMac,
} from './config.ts';
import { ipv4Number, parseIpv4 } from './ipv4-text.ts';
import { bad, decimal, ok, type Parsed } from './parsed.ts';

export type ApiSetting =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number };

export function parseApi(value: string): Parsed<ApiSetting> {
  if (value.startsWith('unix:')) {
    const path = value.slice('unix:'.length);
    const problem = unixPathProblem(path);
    return problem === undefined ? ok({ kind: 'unix', path }) : bad(problem);
  }
  const endpoint = parseEndpoint(value.startsWith('tcp:') ? value.slice('tcp:'.length) : '');
  return endpoint === undefined
    ? bad('must be unix:PATH or tcp:IP:PORT')
    : ok({ kind: 'tcp', address: endpoint.host, port: endpoint.port });
}

export function parseLink(value: string): Parsed<LinkSpec> {
  try {
    return ok(parseLinkSpec(value));
  } catch (error) {
    if (error instanceof LinkSpecError) return bad(error.why);
    throw error;
  }
}

/** @returns a specification for every port of a range */
export function parsePublication(value: string): Parsed<readonly PublishSpec[]> {
  try {
    return ok(parsePublish(value));
  } catch (error) {
    if (error instanceof PublishSyntaxError) return bad(error.why);
    throw error;
  }
}

export function parseRule(value: string): Parsed<BindRule> {
  const rule = parseBindRule(value);
  return rule === undefined
    ? bad('must be ADDRESS:PORT or ADDRESS:FIRST-LAST, such as 127.0.0.0/8:1024-65535 or *:8080')
    : ok(rule);
}

/** @returns its text with an absolute path */
export function parseMux(value: string): Parsed<string> {
  try {
    return ok(formatMuxLink(parseMuxLink(value)));
  } catch (error) {
    if (error instanceof MuxLinkSpecError) return bad(error.why);
    throw error;
  }
}

export function parseMuxTarget(value: string): Parsed<TargetRule> {
  const rule = parseTargetRule(value);
  return rule === undefined ? bad(`must be ${TARGET_RULE_FORM}`) : ok(rule);
}

export function parseUpstream(value: string): Parsed<DnsUpstream> {
  if (/^(tls|https):/i.test(value)) {
    const upstream = parseSecureUpstream(value);
    return upstream === undefined
      ? bad(
          'must be tls://IP#NAME, tls://NAME, https://IP/PATH#NAME or https://NAME/PATH, each perhaps with :PORT, such as tls://9.9.9.9#dns.quad9.net',
        )
      : ok(upstream);
  }
  const [address = '', portText = '53', more] = value.split('#');
  const port = decimal(portText, 1, 65_535);
  return isIP(address) === 0 || port === undefined || more !== undefined
    ? bad(
        'must be IP, IP#PORT, tls://IP#NAME or https://IP/PATH#NAME, such as 9.9.9.9 or 127.0.0.1#5353',
      )
    : ok({ address, port });
}

export function parseDnsDomain(value: string): Parsed<DnsDomain> {
  const [, domainText = '', server = ''] = /^([^=]*)=(.*)$/.exec(value) ?? [];
  const domain = parseDomain(domainText);
  if ('problem' in domain) return bad('must be DOMAIN=SERVER, such as corp.example=10.1.2.3');
  const upstream = parseUpstream(server);
  return 'problem' in upstream
    ? bad(`its server ${upstream.problem}`)
    : ok({ domain: domain.value, upstream: upstream.value });
}

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

export function parseDomain(value: string): Parsed<string> {
  const name = value.toLowerCase().replace(/\.$/, '');
  return name.length <= 253 && name.split('.').every((label) => LABEL.test(label))
    ? ok(name)
    : bad('must be a domain name such as corp.example');
}

export function parseZone(value: string): Parsed<DnsZone> {
  const [zoneText = '', address = '', more] = value.split('=');
  const zone = parseDomain(zoneText);
  const ip = parseAddress(address);
  return 'problem' in zone || ip === undefined || more !== undefined
    ? bad('must be ZONE=IP, such as apps.example=192.168.127.2 or apps.example=fd12::2')
    : ok({ zone: zone.value, address });
}

export function parseStaticLease(value: string): Parsed<StaticLease> {
  const [, macText = '', address = '', hostname, link] =
    /^([^=]*)=([^,]*)(?:,([^,]*)(?:,(.+))?)?$/.exec(value) ?? [];
  const mac = parseMac(macText);
  const isNamed = hostname === undefined || LABEL.test(hostname.toLowerCase());
  if (hostname?.includes('.')) {
    return bad(
      `must name its guest by one label: '${hostname}' has a dot; the domain is not part of a host name`,
    );
  }
  const parsed = parseAddress(address);
  return mac !== undefined && isNamed && parsed !== undefined
    ? ok({ mac, address: parsed.toString(), hostname: hostname?.toLowerCase(), link })
    : bad('must be MAC=IP[,HOSTNAME[,LINK]], such as 52:54:00:12:34:56=192.168.127.10,build');
}

export function parseVpnkitMac(value: string): Parsed<VpnkitMac> {
  const [, uuid = '', macText = ''] = /^([\da-f-]{36})=(.*)$/i.exec(value) ?? [];
  const mac = parseMac(macText);
  return uuid === '' || mac === undefined
    ? bad('must be UUID=MAC, such as c3d68012-0208-11ea-9fd7-f2189899ab08=5a:94:ef:e4:0c:ee')
    : ok({ uuid: uuid.toLowerCase(), mac });
}

export function parseGatewayMac(value: string): Parsed<string> {
  const mac = parseMac(value);
  return mac === undefined
    ? bad('must be the Ethernet address of one station, such as 5a:94:ef:e4:0c:dd')
    : ok(mac);
}

/** @returns in lower case with colons; undefined for what is no address of one station */
function parseMac(text: string): string | undefined {
  const mac = text.toLowerCase().replaceAll('-', ':');
  return /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(mac) ? mac : undefined;
}

export const parseHostIp = (value: string): Parsed<string> =>
  value === 'none' || 'value' in parseIpv4(value)
    ? ok(value)
    : bad('must be an IPv4 address, or none to close the loopback of the host to guests');

export function parseIp(value: string): Parsed<string> {
  const address = parseAddress(value);
  return address === undefined
    ? bad('must be an IP address such as 192.168.127.3 or fd12::3')
    : ok(address.toString());
}

export function parseRange(value: string): Parsed<LeaseRange> {
  const [first = '', last = '', more] = value.split('-');
  const isRange = isIPv4(first) && isIPv4(last) && more === undefined;
  return isRange && ipv4Number(first) <= ipv4Number(last)
    ? ok({ first, last })
    : bad('must be FIRST-LAST, two IPv4 addresses such as 192.168.127.10-192.168.127.99');
}

export function parsePath(value: string): Parsed<string> {
  if (value === '' || value.includes('\0')) return bad('must name a file');
  const problem = relativePathProblem(value);
  return problem === undefined ? ok(value) : bad(problem);
}

export const parseOrigin = (value: string): Parsed<string> =>
  isOrigin(value)
    ? ok(value)
    : bad('must be SCHEME://HOST[:PORT], such as https://vm.example, or null for pages of files');
