/**
 * Log lines for the diagnosis of a guest with "no network", at the level `debug`: guests and their
 * leases, publications, connections that were refused or failed and why, names that were not found.
 */
import type { Emitter } from '../base/emitter.ts';
import type { Log } from '../base/log.ts';
import type { NetworkEvents } from '../control/events/network-events.ts';
import { formatEndpoint } from '../proxy/ports/publish-spec.ts';
import { type DnsQuery, NXDOMAIN } from '../services/dns/message.ts';
import type { StackDrop } from '../stack/drops.ts';
import type { FlowId } from '../stack/flow.ts';
import { type Addresses, isIpv6Wanted } from './addresses.ts';
import type { NetworkConfig } from './config.ts';
import { formatSubnet6, MIN_IPV6_MTU } from './ipv6-text.ts';

/**
 * Fields of a flow that came to nothing: source, destination and why. Of floods, too, and mostly for nobody.
 *
 * @param dialled where that is another than the destination
 */
export const flowFields = (
  { guest, guestPort, remote, remotePort }: FlowId,
  reason: string,
  dialled?: string,
): object => ({
  guest: formatEndpoint(guest, guestPort, '*'),
  to: formatEndpoint(remote, remotePort, '*'),
  dialled,
  reason,
});

/** IPv6 is off, or another network, for a reason that the options do not say. */
export function noteIpv6(
  { ipv6, mtu }: Pick<NetworkConfig, 'ipv6' | 'mtu'>,
  { ipv6: addresses }: Pick<Addresses, 'ipv6'>,
  log: Log,
): void {
  if (isIpv6Wanted(ipv6) && mtu < MIN_IPV6_MTU) {
    log.info({ mtu }, `guests have no IPv6: it needs an MTU of ${MIN_IPV6_MTU} or more`);
  }
  if (ipv6.subnet === 'host' && addresses?.isOffLink === false) {
    const fields = { subnet6: formatSubnet6(addresses.prefix) };
    log.warn(fields, NO_HOST_PREFIX);
  }
}

const NO_HOST_PREFIX =
  'subnet6 is "host", and the host has no global IPv6 address: guests have a unique local network until hawser is started anew with one';

export function noteEvents(events: Emitter<NetworkEvents>, log: Log): void {
  events.on('guest', ({ kind, guest }) => {
    const { mac, addresses, hostname, link } = guest;
    log.debug({ mac, addresses, hostname, link }, `guest ${kind}`);
  });
  events.on('lease', ({ kind, lease }) => {
    const { mac, address, hostname, expiresAt } = lease;
    log.debug({ mac, address, hostname, expiresAt }, `lease ${kind}`);
  });
  events.on('port', ({ kind, port }) => {
    const { id, protocol, hostAddress, hostPort, hostPath, guestAddress, guestPort } = port;
    const host = hostPath ?? `${hostAddress}:${hostPort}`;
    log.debug({ id, protocol, host, guestAddress, guestPort }, `port ${kind}`);
  });
}

interface RefusedLink {
  readonly name: string;
  readonly guest: { readonly framesRefused: number };
}

/** Frames between guests that are no sign of an attack: a bridge sends some. */
const HARMLESS: ReadonlySet<StackDrop> = new Set<StackDrop>(['guest-not-ip', 'guest-isolated']);

/** A frame of a guest was dropped: noted each time their number has doubled. */
export function noteRefused({ name, guest }: RefusedLink, reason: StackDrop, log: Log): void {
  const frames = guest.framesRefused;
  if ((frames & (frames - 1)) !== 0) return;
  const fields = { link: name, reason, frames };
  if (HARMLESS.has(reason)) log.debug(fields, 'frames between guests were dropped');
  else if (reason === 'ethernet-source-of-another') log.warn(fields, SAME_ETHERNET_ADDRESS);
  else log.warn(fields, FOREIGN_ADDRESS);
}

const SAME_ETHERNET_ADDRESS =
  'two links have one Ethernet address, and frames of the later one are dropped: give each guest its own (or see --allow-address of hawser run)';
const FOREIGN_ADDRESS =
  'frames of a guest were dropped: it uses an address of another, or sends what only the gateway does; see --allow-address and --trust-guests of hawser run';

/** By type; others are written as in RFC 3597. */
const TYPES: Readonly<Record<number, string>> = {
  1: 'A',
  2: 'NS',
  5: 'CNAME',
  6: 'SOA',
  12: 'PTR',
  15: 'MX',
  16: 'TXT',
  28: 'AAAA',
  33: 'SRV',
  64: 'SVCB',
  65: 'HTTPS',
  255: 'ANY',
};
const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'] as const;

export const typeText = (type: number): string => TYPES[type] ?? `TYPE${type}`;
export const rcodeText = (rcode: number): string => RCODES[rcode] ?? `RCODE${rcode}`;

/** A query that is answered by an error. */
export function noteName({ name, type }: DnsQuery, rcode: number, log: Log): void {
  const message = rcode === NXDOMAIN ? 'name not found' : 'name not resolved';
  log.debug({ name, type: typeText(type), answer: rcodeText(rcode) }, message);
}
