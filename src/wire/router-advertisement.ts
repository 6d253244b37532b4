/**
 * Router Advertisement (RFC 4861 §4.2) with what else routers announce: DNS servers and search domains (RFC 8106), and the
 * prefix of a translator to IPv4 (RFC 8781). Offsets are from the ICMPv6 header.
 */
import type { IpAddress } from '../base/ip-address.ts';
import type { Slab } from '../base/slab.ts';
import { encodeNames } from './domain-names.ts';
import { writeIpv6Address } from './ipv6-address.ts';
import { type Mac, writeMac } from './mac.ts';
import { ROUTER_ADVERTISEMENT } from './ndp.ts';

const HOP_LIMIT = 4;
const FLAGS = 5;
const LIFETIME = 6;
const OPTIONS = 16;

const MANAGED = 0x80;
const OTHER_CONFIGURATION = 0x40;
const ON_LINK = 0x80;
const AUTONOMOUS = 0x40;

const SOURCE_LINK_LAYER = 1;
const PREFIX_INFORMATION = 3;
const MTU = 5;
const RDNSS = 25;
const DNSSL = 31;
const PREF64 = 38;

/** Options are measured in units of as many bytes, in one byte. */
const UNIT = 8;
const MAX_UNITS = 255;
const ADDRESS_LEN = 16;
/** RFC 8106 §5.1, §5.2: before the servers, and before the domains. */
const DNS_HEADER_LEN = 8;
/** RFC 8781 §4: 13 bits, in units of 8 s. */
const PREF64_MAX_UNITS = 0x1fff;
/** RFC 8781 §4: the code of a prefix length of 96 bits. */
const PREF64_96_BITS = 0;

/** Lifetimes are seconds; 0 withdraws. */
export interface RouterAdvertisement {
  /** That guests use; 0: as they like. */
  readonly hopLimit: number;
  /** DHCPv6 has addresses (M), and the rest (O). */
  readonly isManaged: boolean;
  readonly isOtherConfiguration: boolean;
  /** As a default router; 0: not one. */
  readonly routerLifetimeS: number;
  readonly source: Mac;
  readonly mtu: number;
  readonly prefix: AnnouncedPrefix;
  /** Of DNS servers and domains. */
  readonly dnsLifetimeS: number;
  readonly dns: readonly IpAddress[];
  /** Search domains, the most important first: what does not fit is left out. */
  readonly search: readonly string[];
  readonly nat64LifetimeS: number;
  /** Each of /96. */
  readonly nat64: readonly IpAddress[];
}

export interface AnnouncedPrefix {
  readonly address: IpAddress;
  readonly bits: number;
  readonly isOnLink: boolean;
  readonly isAutonomous: boolean;
  readonly validS: number;
  readonly preferredS: number;
}

/**
 * Write an advertisement, but for its checksum, which is left 0.
 *
 * @param maxLen room from `off`; that of an IPv6 packet of 1280 bytes is more than enough but for search domains
 * @returns bytes written
 */
export function emitRouterAdvertisement(
  { bytes, view }: Slab,
  off: number,
  message: RouterAdvertisement,
  maxLen: number,
): number {
  bytes.fill(0, off, off + maxLen);
  const { isManaged, isOtherConfiguration, dnsLifetimeS } = message;
  bytes[off] = ROUTER_ADVERTISEMENT;
  bytes[off + HOP_LIMIT] = message.hopLimit;
  bytes[off + FLAGS] = (isManaged ? MANAGED : 0) | (isOtherConfiguration ? OTHER_CONFIGURATION : 0);
  view.setUint16(off + LIFETIME, message.routerLifetimeS);
  const end = off + maxLen;
  let at = off + OPTIONS;
  at = emitSource(view, at, message.source);
  at = emitMtu(view, at, message.mtu);
  at = emitPrefix(view, at, message.prefix);
  for (const prefix of message.nat64) at = emitNat64(view, at, prefix, message.nat64LifetimeS);
  at = emitServers(view, at, message.dns, dnsLifetimeS);
  at = emitDomains({ bytes, view }, at, message.search, dnsLifetimeS, end);
  return at - off;
}

function emitSource(view: DataView, at: number, mac: Mac): number {
  const next = begin(view, at, SOURCE_LINK_LAYER, UNIT);
  writeMac(view, at + 2, mac);
  return next;
}

function emitMtu(view: DataView, at: number, mtu: number): number {
  const next = begin(view, at, MTU, UNIT);
  view.setUint32(at + 4, mtu);
  return next;
}

/** RFC 4861 §4.6.2. */
function emitPrefix(view: DataView, at: number, prefix: AnnouncedPrefix): number {
  const next = begin(view, at, PREFIX_INFORMATION, 2 * ADDRESS_LEN);
  view.setUint8(at + 2, prefix.bits);
  view.setUint8(at + 3, (prefix.isOnLink ? ON_LINK : 0) | (prefix.isAutonomous ? AUTONOMOUS : 0));
  view.setUint32(at + 4, prefix.validS);
  view.setUint32(at + 8, prefix.preferredS);
  writeIpv6Address(view, at + 16, prefix.address);
  return next;
}

/** RFC 8781 §4.1: the lifetime is rounded up. */
function emitNat64(view: DataView, at: number, { a, b, c }: IpAddress, lifetimeS: number): number {
  const next = begin(view, at, PREF64, ADDRESS_LEN);
  const units = Math.min(Math.ceil(lifetimeS / UNIT), PREF64_MAX_UNITS);
  view.setUint16(at + 2, (units << 3) | PREF64_96_BITS);
  view.setInt32(at + 4, a);
  view.setInt32(at + 8, b);
  view.setInt32(at + 12, c);
  return next;
}

function emitServers(
  view: DataView,
  at: number,
  servers: readonly IpAddress[],
  lifetimeS: number,
): number {
  if (servers.length === 0) return at;
  const next = begin(view, at, RDNSS, DNS_HEADER_LEN + servers.length * ADDRESS_LEN);
  view.setUint32(at + 4, lifetimeS);
  let to = at + DNS_HEADER_LEN;
  for (const server of servers) {
    writeIpv6Address(view, to, server);
    to += ADDRESS_LEN;
  }
  return next;
}

function emitDomains(
  { bytes, view }: Slab,
  at: number,
  domains: readonly string[],
  lifetimeS: number,
  end: number,
): number {
  const { data, cuts } = encodeNames(domains);
  const longest = Math.min(Math.floor((end - at) / UNIT), MAX_UNITS) * UNIT - DNS_HEADER_LEN;
  const len = cuts.findLast((cut) => cut <= longest);
  if (len === undefined) return at;
  const next = begin(view, at, DNSSL, DNS_HEADER_LEN + Math.ceil(len / UNIT) * UNIT);
  view.setUint32(at + 4, lifetimeS);
  bytes.set(data.subarray(0, len), at + DNS_HEADER_LEN);
  return next;
}

/** @returns where the next option begins */
function begin(view: DataView, at: number, kind: number, len: number): number {
  view.setUint8(at, kind);
  view.setUint8(at + 1, len / UNIT);
  return at + len;
}
