/** What guests learn by DHCPv6 beside addresses. */
import type { IpAddress } from '../../base/ip-address.ts';
import {
  type Dhcpv6Option,
  dhcpv6Option,
  dhcpv6Requests,
  dhcpv6Type,
  INFORMATION_REQUEST,
  OPT6_DNS,
  OPT6_FQDN,
  OPT6_INF_MAX_RT,
  OPT6_NTP,
  OPT6_REFRESH_TIME,
  OPT6_SEARCH,
  OPT6_SNTP,
  OPT6_SOL_MAX_RT,
} from '../../wire/dhcpv6.ts';
import { decodeName, labelsOf, type NameList, pushLabel } from '../../wire/domain-names.ts';
import { IPV6_ADDRESS_LEN, writeIpv6Address } from '../../wire/ipv6-address.ts';
import { guestName } from '../dhcp/guest-name.ts';
import type { Dhcpv6Config } from './dhcpv6-config.ts';

/**
 * The least that RFC 9915 §21.24 allows: where no address is left, or none was there, a guest asks again once a minute
 * rather than once an hour.
 */
const MAX_RT_SECONDS = 60;
/** RFC 9915 §7.6: IRT_MINIMUM. */
const MIN_REFRESH_SECONDS = 600;

/** RFC 5908 §4.1. */
const NTP_SUBOPTION_ADDRESS = 1;
/** RFC 4704 §4.1: the server updates DNS; it does so although the client wanted otherwise; nobody does. */
const FQDN_S = 1;
const FQDN_O = 2;
const FQDN_N = 4;

/** @param hostname that the configuration has for the guest */
export function parameters(
  { dns, ntp, leaseSeconds }: Dhcpv6Config,
  search: NameList,
  request: DataView,
  hostname: string | undefined,
): Dhcpv6Option[] {
  const known: Dhcpv6Option[] = [
    { code: OPT6_DNS, data: addresses(dns) },
    { code: OPT6_NTP, data: ntpServers(ntp) },
    { code: OPT6_SNTP, data: addresses(ntp) },
    { code: OPT6_SOL_MAX_RT, data: uint32(MAX_RT_SECONDS) },
    { code: OPT6_INF_MAX_RT, data: uint32(MAX_RT_SECONDS) },
    { code: OPT6_REFRESH_TIME, data: refreshTime(request, leaseSeconds) },
    { code: OPT6_FQDN, data: fqdn(request, hostname) },
    { code: OPT6_SEARCH, ...search },
  ];
  // DNS unasked: there are clients without an option request.
  return known.filter(
    ({ code, data }) => data.length > 0 && (code === OPT6_DNS || dhcpv6Requests(request, code)),
  );
}

/** The name that a guest gives itself (RFC 4704). */
export function nameIn(request: DataView): string | undefined {
  const option = dhcpv6Option(request, OPT6_FQDN);
  const name = option === undefined ? undefined : decodeName(option.subarray(1));
  return name === undefined ? undefined : guestName(name);
}

/** RFC 9915 §21.23: in answer to an information request alone. */
const refreshTime = (request: DataView, leaseSeconds: number): Uint8Array =>
  dhcpv6Type(request) === INFORMATION_REQUEST
    ? uint32(Math.max(leaseSeconds, MIN_REFRESH_SECONDS))
    : new Uint8Array(0);

/** RFC 4704 §6: only to a client that sent one. Nobody but this server gives names to guests. */
function fqdn(request: DataView, hostname: string | undefined): Uint8Array {
  const sent = dhcpv6Option(request, OPT6_FQDN);
  const name = hostname ?? nameIn(request);
  const labels = name === undefined ? undefined : labelsOf(name);
  if (sent === undefined || labels === undefined) return new Uint8Array(0);
  const wants = sent[0] ?? 0;
  const overrides = (wants & FQDN_S) === 0 ? FQDN_S | FQDN_O : FQDN_S;
  const bytes = [(wants & FQDN_N) === 0 ? overrides : FQDN_N];
  for (const label of labels) pushLabel(bytes, label);
  if (labels.length > 1) bytes.push(0); // else it is the beginning of a name
  return Uint8Array.from(bytes);
}

function addresses(all: readonly IpAddress[]): Uint8Array {
  const data = new Uint8Array(IPV6_ADDRESS_LEN * all.length);
  const view = new DataView(data.buffer);
  for (const [i, address] of all.entries()) writeIpv6Address(view, IPV6_ADDRESS_LEN * i, address);
  return data;
}

/** RFC 5908 §4. */
function ntpServers(all: readonly IpAddress[]): Uint8Array {
  const each = 4 + IPV6_ADDRESS_LEN;
  const data = new Uint8Array(each * all.length);
  const view = new DataView(data.buffer);
  for (const [i, address] of all.entries()) {
    view.setUint16(i * each, NTP_SUBOPTION_ADDRESS);
    view.setUint16(i * each + 2, IPV6_ADDRESS_LEN);
    writeIpv6Address(view, i * each + 4, address);
  }
  return data;
}

function uint32(value: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, value);
  return data;
}
