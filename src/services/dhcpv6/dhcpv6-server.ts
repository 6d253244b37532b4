/**
 * DHCPv6 server for the guests of one segment (RFC 9915). Sans-IO: a message in, at most one out; UDP, IP and delivery,
 * to the address that the message came from, are the caller's.
 *
 * It is the only server of the segment, hence its preference, and hence authoritative: a guest that renews or confirms
 * an address that is free gets it, whether or not this process ever saw the guest before. A guest is given one address:
 * a second identity association in a message has none. Prefixes are not delegated; relays are not served.
 */
import { Counters } from '../../base/counters.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { hex } from '../../wire/dhcp.ts';
import {
  ADVERTISE,
  type AssociatedAddress,
  associationId,
  associationOption,
  CONFIRM,
  checkDhcpv6,
  DECLINE6,
  type Dhcpv6Drop,
  type Dhcpv6Option,
  dhcpv6Option,
  dhcpv6Type,
  emitDhcpv6Reply,
  INFORMATION_REQUEST,
  NO_ADDRS_AVAIL,
  NO_BINDING,
  NOT_ON_LINK,
  nextAddress,
  nextAssociation,
  OPT6_CLIENT_ID,
  OPT6_PREFERENCE,
  OPT6_RAPID_COMMIT,
  OPT6_SEARCH,
  OPT6_SERVER_ID,
  OPT6_STATUS,
  RELEASE6,
  REPLY,
  REQUEST6,
  SOLICIT,
  SUCCESS,
} from '../../wire/dhcpv6.ts';
import { encodeNames } from '../../wire/domain-names.ts';
import { readIpv6Address } from '../../wire/ipv6-address.ts';
import { formatMac, type Mac, writeMac } from '../../wire/mac.ts';
import type { LeaseStore } from '../dhcp/lease.ts';
import type { ClientIdentity } from '../dhcp/lease-record.ts';
import { type DhcpSegment, type DhcpSource, LeaseServer } from '../dhcp/lease-server.ts';
import { addressIn, type Dhcpv6Config, interfaceIdOf } from './dhcpv6-config.ts';
import { Ipv6Leases } from './ipv6-leases.ts';
import { nameIn, parameters } from './parameters.ts';

/** Room that {@link Dhcpv6Server.answer} needs in its output: every link carries as much (RFC 8200 §5), less IP and UDP. */
export const MAX_DHCPV6_REPLY_LEN: number = 1280 - 40 - 8;

const NOTHING = new Uint8Array(0);

/** The guest waits for no other server (RFC 9915 §18.2.1). */
const HIGHEST_PREFERENCE = 255;

export type Dhcpv6ServerDrop =
  | Dhcpv6Drop
  | 'dhcpv6-other-server'
  | 'dhcpv6-other-link'
  | 'dhcpv6-no-address';

export type Dhcpv6Count =
  | 'advertises'
  | 'binds'
  | 'confirms'
  | 'releases'
  | 'declines'
  | 'informs'
  | 'not-on-link'
  | 'pool-exhausted'
  | 'link-share'
  | 'not-assigned';

/** One message, and where its answer goes. */
interface Exchange {
  readonly request: DataView;
  readonly out: Slab;
  readonly outOff: number;
  readonly now: Instant;
  readonly wallMs: number;
  readonly mac: string;
  readonly link: number;
  /** In hexadecimal. */
  readonly duid: string;
}

/** What an association is answered for: solicitations, those that commit at once, requests, and renewals. */
type Purpose = 'offer' | 'commit' | 'request' | 'extend';

const WORDS = {
  protocol: 'DHCPv6',
  noAddress: 'no IPv6 address by DHCPv6',
  remedy: 'it may have one by autoconfiguration',
};

export class Dhcpv6Server extends LeaseServer<bigint, Ipv6Leases> {
  readonly drops: Counters<Dhcpv6ServerDrop> = new Counters();
  readonly counts: Counters<Dhcpv6Count> = new Counters();
  private readonly config: Dhcpv6Config;
  private readonly serverId: Uint8Array;

  /** @param parse reads the addresses of stored leases */
  constructor(
    config: Dhcpv6Config,
    parse: (text: string) => IpAddress | undefined,
    store: LeaseStore,
    segment: DhcpSegment<bigint>,
  ) {
    super(config, store, segment.log, {
      table: new Ipv6Leases(config, segment),
      words: WORDS,
      encodeSearch: encodeNames,
      parse: (text) => {
        const address = parse(text);
        return address === undefined ? undefined : keyOf(config, address);
      },
    });
    this.config = config;
    this.serverId = linkLayerDuid(config.mac);
  }

  /** The key of an address among leases; undefined outside of the prefix. */
  keyOf(address: IpAddress): bigint | undefined {
    return keyOf(this.config, address);
  }

  /**
   * @param request a UDP payload that came to port 547, borrowed
   * @param outOff room for {@link MAX_DHCPV6_REPLY_LEN} bytes
   * @returns bytes written; 0 when there is nothing to answer
   */
  answer(
    request: DataView,
    out: Slab,
    outOff: number,
    now: Instant,
    wallMs: number,
    { mac, link }: DhcpSource,
  ): number {
    const drop = checkDhcpv6(request);
    if (drop !== undefined) return this.drop(drop);
    this.restore(now, wallMs);
    const duid = hex(dhcpv6Option(request, OPT6_CLIENT_ID) ?? NOTHING, '');
    const x = { request, out, outOff, now, wallMs, mac: formatMac(mac), link, duid };
    const first = identityOf(x, nextAssociation(request, 0));
    const server = dhcpv6Option(request, OPT6_SERVER_ID);
    if (server !== undefined && !isSame(server, this.serverId)) {
      this.table.withdraw(first);
      return this.drop('dhcpv6-other-server');
    }
    const type = dhcpv6Type(request);
    if (type === INFORMATION_REQUEST) return this.onInformationRequest(x);
    if (this.isElsewhere(first, now)) return this.drop('dhcpv6-other-link');
    switch (type) {
      case SOLICIT:
        return this.onSolicit(x);
      case REQUEST6:
        return this.reply(x, REPLY, this.associations(x, 'request'));
      case CONFIRM:
        return this.onConfirm(x);
      case RELEASE6:
      case DECLINE6:
        return this.onReturn(x, type === RELEASE6 ? 'release' : 'decline');
      default: // RENEW and REBIND
        return this.reply(x, REPLY, this.associations(x, 'extend'));
    }
  }

  /** RFC 9915 §18.3.1. */
  private onSolicit(x: Exchange): number {
    if (dhcpv6Option(x.request, OPT6_RAPID_COMMIT) !== undefined) {
      const committed = { code: OPT6_RAPID_COMMIT, data: NOTHING };
      return this.reply(x, REPLY, [committed, ...this.associations(x, 'commit')]);
    }
    this.counts.add('advertises');
    const preference = { code: OPT6_PREFERENCE, data: Uint8Array.of(HIGHEST_PREFERENCE) };
    return this.reply(x, ADVERTISE, [preference, ...this.associations(x, 'offer')]);
  }

  /** RFC 9915 §18.3.3. What this server does not give out, or another holds, is no address of this link's any more. */
  private onConfirm(x: Exchange): number {
    const { request, now } = x;
    let count = 0;
    let isValid = true;
    for (let ia = nextAssociation(request, 0); ia >= 0; ia = nextAssociation(request, ia)) {
      const identity = identityOf(x, ia);
      for (const address of addressesIn(request, ia)) {
        count++;
        const key = this.keyOf(address);
        if (key === undefined || !this.table.mayHave(identity, key, now)) isValid = false;
        else if (this.isUnknown(identity, key, now)) this.bind(x, identity, key);
      }
    }
    if (count === 0) return this.drop('dhcpv6-no-address');
    this.counts.add(isValid ? 'confirms' : 'not-on-link');
    return this.reply(x, REPLY, [statusOption(isValid ? SUCCESS : NOT_ON_LINK)]);
  }

  /** RFC 9915 §18.3.6. */
  private onInformationRequest(x: Exchange): number {
    this.counts.add('informs');
    return this.reply(x, REPLY, []);
  }

  /** RFC 9915 §18.3.7, §18.3.8: a guest gives an address back, or found it in use. */
  private onReturn(x: Exchange, how: 'release' | 'decline'): number {
    const { request, now, wallMs } = x;
    const unbound: Dhcpv6Option[] = [];
    let returned = 0;
    for (let ia = nextAssociation(request, 0); ia >= 0; ia = nextAssociation(request, ia)) {
      const before = returned;
      const identity = identityOf(x, ia);
      for (const address of addressesIn(request, ia)) {
        const key = this.keyOf(address);
        if (key === undefined || !this.table[how](identity, key, now)) continue;
        returned++;
        this.event(`${how}d`, identity, address.toString());
      }
      if (returned === before)
        unbound.push(emptyAssociation(associationId(request, ia), NO_BINDING));
    }
    if (returned > 0) {
      this.counts.add(`${how}s`, returned);
      this.changed(now, wallMs);
    }
    return this.reply(x, REPLY, [statusOption(SUCCESS), ...unbound]);
  }

  private associations(x: Exchange, purpose: Purpose): Dhcpv6Option[] {
    const { request } = x;
    const options: Dhcpv6Option[] = [];
    for (let ia = nextAssociation(request, 0); ia >= 0; ia = nextAssociation(request, ia)) {
      options.push(
        options.length === 0
          ? this.association(x, ia, purpose)
          : emptyAssociation(associationId(request, ia), NO_ADDRS_AVAIL),
      );
    }
    return options;
  }

  /** RFC 9915 §18.3.1, §18.3.2, §18.3.4, §18.3.5. */
  private association(x: Exchange, ia: number, purpose: Purpose): Dhcpv6Option {
    const { request, now } = x;
    const id = associationId(request, ia);
    const wishes = addressesIn(request, ia);
    const keys = wishes.map((address) => this.keyOf(address));
    if (purpose === 'request' && keys.includes(undefined)) {
      this.counts.add('not-on-link');
      return emptyAssociation(id, NOT_ON_LINK);
    }
    const identity = identityOf(x, ia);
    const wish = keys.find((key) => key !== undefined && this.table.mayHave(identity, key, now));
    const found = this.config.assigns ? this.addressFor(identity, wish, now) : 'not-assigned';
    const stale = (except: bigint | undefined): AssociatedAddress[] =>
      wishes
        .filter((_, i) => except === undefined || keys[i] !== except)
        .map((address) => ({ address, preferred: 0, valid: 0 }));
    if (typeof found === 'string') {
      this.counts.add(found);
      const addresses = purpose === 'extend' ? stale(undefined) : [];
      return associationOption({ id, t1: 0, t2: 0, addresses, status: NO_ADDRS_AVAIL });
    }
    if (purpose === 'offer') this.table.offer(identity, found, now);
    else this.bind(x, identity, found);
    const { prefix, leaseSeconds } = this.config;
    const address = addressIn(prefix, found);
    const given = { address, preferred: leaseSeconds, valid: leaseSeconds };
    return associationOption({
      id,
      // RFC 9915 §21.4: half and four fifths of the shortest preferred lifetime.
      t1: Math.floor(leaseSeconds / 2),
      t2: Math.floor((leaseSeconds * 4) / 5),
      addresses: purpose === 'extend' ? [given, ...stale(found)] : [given],
      status: undefined,
    });
  }

  /** Whether a guest has an address that this process did not lease to it, and may have a lease of it. */
  private isUnknown(identity: ClientIdentity, key: bigint, now: Instant): boolean {
    return this.table.holderOf(key, now) === 0 && this.table.isWithinShare(identity, now);
  }

  private bind(x: Exchange, identity: ClientIdentity, key: bigint): void {
    const { request, now, wallMs } = x;
    const name = nameIn(request);
    const { prefix, leaseSeconds } = this.config;
    this.table.bind(identity, key, name, leaseSeconds * 1000, now);
    this.changed(now, wallMs);
    this.counts.add('binds');
    this.event('lease', identity, addressIn(prefix, key).toString(), name);
  }

  private reply(
    { request, out, outOff, mac }: Exchange,
    type: typeof ADVERTISE | typeof REPLY,
    answers: readonly Dhcpv6Option[],
  ): number {
    const clientId = dhcpv6Option(request, OPT6_CLIENT_ID);
    const hostname = this.table.staticFor({ mac })?.hostname;
    const options = [
      { code: OPT6_SERVER_ID, data: this.serverId },
      ...(clientId === undefined ? [] : [{ code: OPT6_CLIENT_ID, data: clientId }]),
      ...answers,
      ...parameters(this.config, this.search, request, hostname),
    ];
    return emitDhcpv6Reply(out, outOff, request, {
      type,
      options,
      maxLen: MAX_DHCPV6_REPLY_LEN,
      onCut: (code, len) => {
        if (code === OPT6_SEARCH) this.warnings.longSearch(this.search, len);
      },
    });
  }

  private drop(reason: Dhcpv6ServerDrop): 0 {
    this.drops.add(reason);
    return 0;
  }
}

/** @param ia offset of an association, or -1 */
const identityOf = ({ request, mac, link, duid }: Exchange, ia: number): ClientIdentity => {
  const id = ia < 0 ? 0 : associationId(request, ia);
  return { mac, link, client: `duid:${duid}/${id.toString(16).padStart(8, '0')}` };
};

function addressesIn(request: DataView, ia: number): IpAddress[] {
  const addresses: IpAddress[] = [];
  for (let at = nextAddress(request, ia, 0); at >= 0; at = nextAddress(request, ia, at)) {
    addresses.push(readIpv6Address(request, at));
  }
  return addresses;
}

const keyOf = ({ prefix }: Dhcpv6Config, address: IpAddress): bigint | undefined =>
  address.a === prefix.a && address.b === prefix.b ? interfaceIdOf(address) : undefined;

const emptyAssociation = (id: number, status: number): Dhcpv6Option =>
  associationOption({ id, t1: 0, t2: 0, addresses: [], status });

const statusOption = (status: number): Dhcpv6Option => ({
  code: OPT6_STATUS,
  data: Uint8Array.of(status >> 8, status),
});

const isSame = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

/** RFC 9915 §11.4: type 3, Ethernet. The same after each start. */
function linkLayerDuid(mac: Mac): Uint8Array {
  const duid = Uint8Array.of(0, 3, 0, 1, 0, 0, 0, 0, 0, 0);
  writeMac(new DataView(duid.buffer), 4, mac);
  return duid;
}
