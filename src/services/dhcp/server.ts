/**
 * DHCP server for the guests of one segment (RFC 2131, options RFC 2132, 3397). Sans-IO: a BOOTP
 * message in, at most one out; UDP, IP and delivery are the caller's.
 *
 * It is the only server of the segment, hence authoritative: a guest that asks for an address that
 * is free gets it, whether or not this process ever saw the guest before; one that asks for any
 * other is refused at once (NAK), so that it starts over instead of waiting. Relays are not served.
 */
import { Counters } from '../../base/counters.ts';
import { formatIpv4 } from '../../base/ip-address.ts';
import { SILENT } from '../../base/log.ts';
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import {
  ACK,
  checkDhcp,
  DECLINE,
  type DhcpDrop,
  type DhcpOption,
  DISCOVER,
  dhcpAddressOption,
  dhcpCiaddr,
  dhcpGiaddr,
  dhcpMac,
  dhcpMessageType,
  dhcpOption,
  dhcpUint32,
  emitDhcpReply,
  encodeSearchList,
  hex,
  INFORM,
  NAK,
  OFFER,
  OPT_BROADCAST,
  OPT_CLIENT_ID,
  OPT_DNS,
  OPT_DOMAIN,
  OPT_HOSTNAME,
  OPT_IPV6_ONLY,
  OPT_LEASE_TIME,
  OPT_MAX_SIZE,
  OPT_MESSAGE,
  OPT_MESSAGE_TYPE,
  OPT_MTU,
  OPT_NTP,
  OPT_PARAMETER_LIST,
  OPT_REQUESTED_IP,
  OPT_ROUTER,
  OPT_SEARCH,
  OPT_SERVER_ID,
  OPT_SUBNET_MASK,
  OPT_T1,
  OPT_T2,
  RELEASE,
  REQUEST,
} from '../../wire/dhcp.ts';
import { formatMac, type Mac } from '../../wire/mac.ts';
import type { DhcpConfig } from './config.ts';
import { guestName } from './guest-name.ts';
import { Ipv4Leases, type Ipv4SegmentState } from './ipv4-leases.ts';
import type { LeaseStore } from './lease.ts';
import type { ClientIdentity } from './lease-record.ts';
import { type DhcpSegment, type DhcpSource, LeaseServer } from './lease-server.ts';
import type { KeepFault } from './lease-table.ts';

const MIN_LEASE_SECONDS = 60;
/** RFC 8925 §3.2: after this time they ask again. */
const IPV6_ONLY_WAIT_S = 1_800;
const INFINITE = 0xffff_ffff;
/** RFC 2131 §2: the message size that every client accepts, less the IP and UDP headers. */
const MIN_MAX_SIZE = 576;
const IP_UDP_LEN = 28;
/** Room that {@link DhcpServer.answer} needs in its output. */
export const MAX_DHCP_REPLY_LEN = 1472;

/** Sent whether or not the guest asks: without them nothing works, or works well. */
const ALWAYS: ReadonlySet<number> = new Set([OPT_SUBNET_MASK, OPT_ROUTER, OPT_DNS, OPT_MTU]);

export type DhcpServerDrop =
  | DhcpDrop
  | 'dhcp-relayed'
  | 'dhcp-foreign-address'
  | 'dhcp-other-link'
  | 'dhcp-unknown-type'
  | 'dhcp-other-server'
  | 'dhcp-pool-exhausted'
  | 'dhcp-link-share'
  | 'dhcp-no-address'
  | 'dhcp-not-the-holder';

export type DhcpCount = 'offers' | 'acks' | 'naks' | 'releases' | 'declines' | 'informs';

/** What differs between the replies with addresses; IPv4 words. */
interface ReplyFields {
  readonly type: number;
  readonly ciaddr: number;
  readonly yiaddr: number;
}

/** The server's own knowledge of its segment. */
export interface Ipv4Segment extends DhcpSegment<number>, Ipv4SegmentState {}

const NO_SEGMENT: Ipv4Segment = {
  log: SILENT,
  isPresent: () => false,
  isAttached: () => false,
  userOf: () => undefined,
};

const WORDS = {
  protocol: 'DHCP',
  noAddress: 'no address',
  remedy: 'choose a larger subnet',
};

export class DhcpServer extends LeaseServer<number, Ipv4Leases> {
  readonly drops: Counters<DhcpServerDrop> = new Counters();
  readonly counts: Counters<DhcpCount> = new Counters();
  /** Guests that can do without an IPv4 address are to do so (RFC 8925 §3.3). */
  isIpv6Mostly = false;
  private readonly config: DhcpConfig;
  private readonly mask: number;

  constructor(config: DhcpConfig, store?: LeaseStore, segment: Ipv4Segment = NO_SEGMENT) {
    super(config, store, segment.log, {
      table: new Ipv4Leases(config, segment),
      words: WORDS,
      encodeSearch: encodeSearchList,
      parse: parseDotted,
    });
    this.config = config;
    this.mask = config.prefix === 0 ? 0 : -(2 ** (32 - config.prefix)) | 0;
  }

  /**
   * @param request a UDP payload that came to port 67, borrowed
   * @param outOff room for {@link MAX_DHCP_REPLY_LEN} bytes
   * @returns bytes written; 0 when there is nothing to answer
   */
  answer(
    request: DataView,
    out: Slab,
    outOff: number,
    now: Instant,
    wallMs: number,
    source?: DhcpSource,
  ): number {
    const drop = checkDhcp(request);
    if (drop !== undefined) return this.drop(drop);
    if (dhcpGiaddr(request) !== 0) return this.drop('dhcp-relayed');
    const identity = identityOf(request, source?.link);
    if (source !== undefined && formatMac(source.mac) !== identity.mac) {
      return this.drop('dhcp-foreign-address');
    }
    this.restore(now, wallMs);
    if (this.isElsewhere(identity, now)) return this.drop('dhcp-other-link');
    const namesake = this.table.namesake(identity, now);
    if (namesake !== undefined) this.warnings.sameIdentifier(identity, namesake);
    switch (dhcpMessageType(request)) {
      case DISCOVER:
        return this.onDiscover(request, identity, out, outOff, now);
      case REQUEST:
        return this.onRequest(request, identity, out, outOff, now, wallMs);
      case DECLINE:
        return this.onDecline(request, identity, now, wallMs);
      case RELEASE:
        return this.onRelease(request, identity, now, wallMs);
      case INFORM:
        return this.onInform(request, identity, out, outOff);
      default:
        return this.drop('dhcp-unknown-type');
    }
  }

  /** Keep an address for a guest: see {@link Ipv4Leases.keep}. */
  keep(mac: Mac, wanted: number | undefined, now: Instant, wallMs: number): KeepFault | undefined {
    this.restore(now, wallMs);
    const text = formatMac(mac);
    return this.table.keep({ mac: text, client: bareClient(text) }, wanted, now);
  }

  stopKeeping(mac: Mac): void {
    this.table.stopKeeping(formatMac(mac));
  }

  /** RFC 2131 §4.3.1. */
  private onDiscover(
    request: DataView,
    identity: ClientIdentity,
    out: Slab,
    outOff: number,
    now: Instant,
  ): number {
    const wish = dhcpAddressOption(request, OPT_REQUESTED_IP);
    const address = this.addressFor(identity, wish, now);
    if (typeof address === 'string') return this.drop(`dhcp-${address}`);
    this.table.offer(identity, address, now);
    this.counts.add('offers');
    return this.reply(request, identity, { type: OFFER, ciaddr: 0, yiaddr: address }, out, outOff);
  }

  /** RFC 2131 §4.3.2: SELECTING, INIT-REBOOT, RENEWING and REBINDING, distinguished by their fields. */
  private onRequest(
    request: DataView,
    identity: ClientIdentity,
    out: Slab,
    outOff: number,
    now: Instant,
    wallMs: number,
  ): number {
    const server = dhcpAddressOption(request, OPT_SERVER_ID);
    if (server !== undefined && server !== this.config.gateway) {
      this.table.withdraw(identity);
      return this.drop('dhcp-other-server');
    }
    const ciaddr = dhcpCiaddr(request);
    const address = dhcpAddressOption(request, OPT_REQUESTED_IP) ?? ciaddr;
    if (address === 0) return this.drop('dhcp-no-address');
    if (!this.table.mayHave(identity, address, now) || !this.table.isWithinShare(identity, now)) {
      this.event('refused', identity, formatIpv4(address));
      return this.refuse(request, 'address not available', out, outOff);
    }
    const hostname = hostnameOf(request);
    this.table.bind(identity, address, hostname, this.leaseSeconds(request) * 1000, now);
    this.changed(now, wallMs);
    this.counts.add('acks');
    this.event('lease', identity, formatIpv4(address), hostname);
    return this.reply(request, identity, { type: ACK, ciaddr, yiaddr: address }, out, outOff);
  }

  /** RFC 2131 §4.3.3. */
  private onDecline(
    request: DataView,
    identity: ClientIdentity,
    now: Instant,
    wallMs: number,
  ): number {
    const address = dhcpAddressOption(request, OPT_REQUESTED_IP);
    if (address === undefined) return this.drop('dhcp-no-address');
    if (!this.table.decline(identity, address, now)) return this.drop('dhcp-not-the-holder');
    this.counts.add('declines');
    this.event('declined', identity, formatIpv4(address));
    this.changed(now, wallMs);
    return 0;
  }

  /** RFC 2131 §4.3.4. */
  private onRelease(
    request: DataView,
    identity: ClientIdentity,
    now: Instant,
    wallMs: number,
  ): number {
    if (!this.table.release(identity, dhcpCiaddr(request), now)) {
      return this.drop('dhcp-not-the-holder');
    }
    this.counts.add('releases');
    this.event('released', identity, formatIpv4(dhcpCiaddr(request)));
    this.changed(now, wallMs);
    return 0;
  }

  /** RFC 2131 §4.3.5: parameters only, no address and no times. */
  private onInform(request: DataView, identity: ClientIdentity, out: Slab, outOff: number): number {
    const ciaddr = dhcpCiaddr(request);
    if (ciaddr === 0) return this.drop('dhcp-no-address');
    this.counts.add('informs');
    return this.reply(request, identity, { type: ACK, ciaddr, yiaddr: 0 }, out, outOff);
  }

  private refuse(request: DataView, why: string, out: Slab, outOff: number): number {
    this.counts.add('naks');
    const options = [
      option(OPT_MESSAGE_TYPE, [NAK]),
      words(OPT_SERVER_ID, [this.config.gateway]),
      text(OPT_MESSAGE, why),
    ];
    const maxLen = this.maxLen(request);
    const repr = { ciaddr: 0, yiaddr: 0, broadcast: true, options, maxLen };
    return emitDhcpReply(out, outOff, request, repr);
  }

  private reply(
    request: DataView,
    identity: ClientIdentity,
    { type, ciaddr, yiaddr }: ReplyFields,
    out: Slab,
    outOff: number,
  ): number {
    const options = [
      option(OPT_MESSAGE_TYPE, [type]),
      words(OPT_SERVER_ID, [this.config.gateway]),
      ...(yiaddr === 0 ? [] : this.times(request)),
      ...this.parameters(request, identity),
    ];
    const maxLen = this.maxLen(request);
    return emitDhcpReply(out, outOff, request, {
      ciaddr,
      yiaddr,
      broadcast: false,
      options,
      maxLen,
      onCut: (code, len) => {
        if (code === OPT_SEARCH) this.warnings.longSearch(this.search, len);
      },
    });
  }

  private times(request: DataView): DhcpOption[] {
    const seconds = this.leaseSeconds(request);
    // RFC 2131 §4.4.5: T1 and T2 default to these shares; sent because some clients lack the default.
    const t1 = seconds === INFINITE ? INFINITE : Math.floor(seconds / 2);
    const t2 = seconds === INFINITE ? INFINITE : Math.floor((seconds * 7) / 8);
    return [words(OPT_LEASE_TIME, [seconds]), words(OPT_T1, [t1]), words(OPT_T2, [t2])];
  }

  private parameters(request: DataView, identity: ClientIdentity): DhcpOption[] {
    const { config } = this;
    const hostname = this.table.staticFor(identity)?.hostname;
    const known: DhcpOption[] = [
      words(OPT_SUBNET_MASK, [this.mask]),
      words(OPT_ROUTER, [config.gateway]),
      words(OPT_DNS, config.dns),
      option(OPT_MTU, [config.mtu >> 8, config.mtu & 255]),
      words(OPT_BROADCAST, [config.gateway | ~this.mask]),
      text(OPT_HOSTNAME, hostname ?? ''),
      text(OPT_DOMAIN, config.domain ?? ''),
      words(OPT_NTP, config.ntp),
      { code: OPT_SEARCH, ...this.search },
      ...(this.isIpv6Mostly ? [words(OPT_IPV6_ONLY, [IPV6_ONLY_WAIT_S])] : []),
    ];
    const asked = dhcpOption(request, OPT_PARAMETER_LIST);
    return known.filter(
      ({ code, data }) => data.length > 0 && (ALWAYS.has(code) || asked?.includes(code) === true),
    );
  }

  /** The guest may ask for less than the configured time, but not so little that it is a load. */
  private leaseSeconds(request: DataView): number {
    const asked = dhcpOption(request, OPT_LEASE_TIME);
    const most = Math.min(this.config.leaseSeconds, INFINITE);
    if (asked?.length !== 4) return most;
    return Math.min(most, Math.max(MIN_LEASE_SECONDS, dhcpUint32(asked)));
  }

  private maxLen(request: DataView): number {
    const asked = dhcpOption(request, OPT_MAX_SIZE);
    const size = asked?.length === 2 ? ((asked[0] ?? 0) << 8) | (asked[1] ?? 0) : 0;
    const most = Math.min(this.config.mtu - IP_UDP_LEN, MAX_DHCP_REPLY_LEN);
    return Math.min(Math.max(size, MIN_MAX_SIZE) - IP_UDP_LEN, most);
  }

  private drop(reason: DhcpServerDrop): 0 {
    this.drops.add(reason);
    return 0;
  }
}

/**
 * RFC 2131 §4.2: the client identifier when there is one, else the hardware address. An identifier
 * that only repeats the hardware address (RFC 2132 §9.14, type 1) is the same identity as none.
 */
function identityOf(request: DataView, link: number | undefined): ClientIdentity {
  const mac = dhcpMac(request);
  const bare = mac.replaceAll(':', '');
  const id = dhcpOption(request, OPT_CLIENT_ID);
  const text = id === undefined || id.length < 2 ? `01${bare}` : hex(id, '');
  return { mac, link, client: text === `01${bare}` ? bareClient(mac) : `id:${text}` };
}

const bareClient = (mac: string): string => `hw:${mac.replaceAll(':', '')}`;

function hostnameOf(request: DataView): string | undefined {
  const bytes = dhcpOption(request, OPT_HOSTNAME);
  if (bytes === undefined) return undefined;
  return guestName(String.fromCharCode(...bytes).replace(/\0+$/, ''));
}

/** Dotted quad to int32. */
function parseDotted(address: string): number | undefined {
  const parts = address.split('.').map(Number);
  if (parts.length !== 4 || parts.some((part) => !(part >= 0 && part <= 255))) return undefined;
  return parts.reduce((word, part) => (word << 8) | part, 0);
}

const option = (code: number, data: readonly number[]): DhcpOption => ({
  code,
  data: Uint8Array.from(data),
});

const text = (code: number, value: string): DhcpOption =>
  option(
    code,
    Array.from(value, (char) => char.charCodeAt(0)),
  );

const words = (code: number, values: readonly number[]): DhcpOption =>
  option(
    code,
    values.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]),
  );
