/**
 * Names answered here, never asked of an upstream: hosts file, built-in names, names of guests, the user's zones,
 * those that RFC 6761 keeps local, and the reverse names of the guests' networks. The most specific wins: a whole name
 * before a zone, a longer zone before a shorter one, the user's before ours. Zones with records are asked before any of
 * these but the hosts file, in their own order; a longer built-in zone goes before names that they lack.
 *
 * Only class IN and address types have local data. A local name exists: a query for any other type of it, the other
 * family included, is answered by an empty NOERROR, for names of a hosts file too. An upstream would answer NXDOMAIN,
 * which denies the whole name (RFC 8020), and which musl takes for both families.
 */
import type { Answer } from 'dns-packet';
import { IpAddress, ipv4 } from '../../base/ip-address.ts';
import { isInside, type Prefix } from '../address-text.ts';
import type { HostEntry } from './hosts.ts';
import {
  CLASS_IN,
  type DnsQuery,
  NOERROR,
  NXDOMAIN,
  TYPE_A,
  TYPE_AAAA,
  TYPE_ANY,
  TYPE_PTR,
} from './message.ts';
import { NameRecords } from './name-records.ts';
import { localReply } from './reply.ts';
import { isWhole, reverseName, reverseNetwork, reverseZone } from './reverse-name.ts';
import { LOCAL_TTL_S, soa } from './soa.ts';
import { ZoneTable } from './zone-table.ts';

/** Zones whose `gateway` and `host` are built in. Reverse names are in the first. */
export const BUILT_IN_ZONES = [
  'hawser.internal',
  'containers.internal',
  'docker.internal',
] as const;
const DESIGNATED = 'resolver.arpa';
/** Names that browsers ask for before they use resolvers of their own: not while these do not exist. */
const CANARIES: ReadonlySet<string> = new Set([
  ...['use-application-dns.net', 'mask.icloud.com', 'mask-h2.icloud.com'],
]);
/** Where guests have their names. */
const GUESTS_ZONE = BUILT_IN_ZONES[0];

/** `zone` and every name below it resolve to `address`. Lower case, no last dot. */
export interface UserZone {
  readonly zone: string;
  readonly address: IpAddress;
}

export interface LocalNamesConfig {
  /** Addresses of the gateway, of either family. */
  readonly gateway: readonly IpAddress[];
  /** Empty when the host's loopback is closed to guests. */
  readonly host: readonly IpAddress[];
  readonly zones: readonly UserZone[];
  /** Of the guests, of either family: what their reverse names have here is all that there is. */
  readonly networks?: readonly Prefix[] | undefined;
  readonly guests?: NamedGuests | undefined;
  /** Browsers are told to ask nobody else. */
  readonly hasCanaries?: boolean | undefined;
}

/** Guests by the names that they have by their leases: one label each, lower case. */
export interface NamedGuests {
  /** Empty for a name that no guest has. */
  addressesOf(name: string): readonly IpAddress[];
  nameAt(address: IpAddress): string | undefined;
}

/** The data of a name: `undefined` for a name that does not exist. */
type Found =
  | { readonly kind: 'addresses'; readonly addresses: readonly IpAddress[]; readonly zone: string }
  | { readonly kind: 'pointer'; readonly target: string }
  | { readonly kind: 'missing'; readonly zone: string };

export class LocalNames {
  /** Changed at any time. */
  readonly recordZones: ZoneTable = new ZoneTable();
  /** Whole names, changed at any time: in front of all but those of RFC 6761. */
  readonly records: NameRecords = new NameRecords();
  private readonly names = new Map<string, readonly IpAddress[]>();
  private readonly builtInPointers = new Map<string, string>();
  private zones: ReadonlyMap<string, readonly IpAddress[]> = new Map();
  private hosts: ReadonlyMap<string, readonly IpAddress[]> = new Map();
  private hostPointers: ReadonlyMap<string, string> = new Map();
  private readonly networks: readonly Prefix[];
  /** Of the gateway and of the host, of both families each. */
  private readonly places: readonly (readonly IpAddress[])[];
  private readonly guests: NamedGuests | undefined;
  private readonly hasCanaries: boolean;

  constructor(config: LocalNamesConfig) {
    this.networks = config.networks ?? [];
    this.guests = config.guests;
    this.hasCanaries = config.hasCanaries ?? false;
    this.places = [config.gateway, config.host];
    for (const zone of BUILT_IN_ZONES) {
      if (config.gateway.length > 0) this.names.set(`gateway.${zone}`, config.gateway);
      if (config.host.length > 0) this.names.set(`host.${zone}`, config.host);
    }
    const loopback = [ipv4(0x7f00_0001), new IpAddress(0, 0, 0, 1)];
    for (const address of loopback) this.builtInPointers.set(reverseName(address), 'localhost');
    for (const address of config.host) this.setPointer(address, 'host');
    for (const address of config.gateway) this.setPointer(address, 'gateway');
    this.setZones(config.zones);
  }

  /** Replace the user's zones. A zone may be given once for each family. */
  setZones(zones: readonly UserZone[]): void {
    this.zones = grouped(zones.map(({ zone, address }) => [zone, address]));
  }

  /** Replace the entries of the hosts file. */
  setHosts(entries: readonly HostEntry[]): void {
    this.hosts = grouped(
      entries.flatMap(({ names, address }) =>
        names.map((name): [string, IpAddress] => [name, address]),
      ),
    );
    const pointers = new Map<string, string>();
    for (const { address, names } of entries) {
      const reverse = reverseName(address);
      const [canonical] = names;
      if (canonical !== undefined && !pointers.has(reverse)) pointers.set(reverse, canonical);
    }
    this.hostPointers = pointers;
  }

  /** @returns the whole reply, or undefined when the name is not ours */
  answer(query: DnsQuery): Uint8Array | undefined {
    if (query.klass !== CLASS_IN) return undefined;
    const found = this.find(query);
    if (found === undefined) return undefined;
    if (found.kind === 'missing') {
      return localReply(query, NXDOMAIN, { answers: [], authorities: [soa(found.zone)] });
    }
    const answers =
      found.kind === 'pointer'
        ? pointerAnswers(query, found.target)
        : addressAnswers(query, found.addresses);
    const zone = found.kind === 'pointer' ? query.name : found.zone;
    return localReply(query, NOERROR, {
      answers,
      authorities: answers.length > 0 ? [] : [soa(zone)],
    });
  }

  /** Of a name that is ours; undefined: it is not. */
  addressesOf(name: string): readonly IpAddress[] | undefined {
    const found = this.find({ name });
    if (found === undefined) return undefined;
    return found.kind === 'addresses' ? found.addresses : [];
  }

  private find({ name }: Pick<DnsQuery, 'name'>): Found | undefined {
    // RFC 6761 §6.3, §6.4: not even a hosts file overrides this.
    if (isBelow(name, 'localhost')) {
      const addresses = [ipv4(0x7f00_0001), new IpAddress(0, 0, 0, 1)];
      return { kind: 'addresses', addresses: odd(name) ? [] : addresses, zone: 'localhost' };
    }
    if (isBelow(name, 'invalid')) return { kind: 'missing', zone: 'invalid' };
    // RFC 9462 §6.4: there is no other resolver to move on to.
    if (isBelow(name, DESIGNATED)) return { kind: 'addresses', addresses: [], zone: DESIGNATED };

    const listed = this.records.addressesOf(name) ?? this.hosts.get(name);
    if (listed !== undefined) {
      return { kind: 'addresses', addresses: listed, zone: name };
    }
    const target =
      this.records.nameAt(name) ?? this.hostPointers.get(name) ?? this.builtInPointers.get(name);
    if (target !== undefined) return { kind: 'pointer', target };

    if (this.hasCanaries && CANARIES.has(name)) return { kind: 'missing', zone: name };

    const recorded = this.findRecord(name);
    if (recorded !== undefined) return recorded;
    if (!this.zones.has(name)) {
      const addresses = this.names.get(name);
      if (addresses !== undefined) return { kind: 'addresses', addresses, zone: name };
    }
    return name.endsWith('.arpa') ? this.findReverse(name) : this.findZone(name);
  }

  private findRecord(name: string): Found | undefined {
    const match = this.recordZones.find(name);
    if (match === undefined) return undefined;
    const { zone, address, isDefault } = match;
    const isOurs = (own: string): boolean => own.length > zone.length && isBelow(name, own);
    if (isDefault && BUILT_IN_ZONES.some(isOurs)) return undefined;
    if (address === undefined && isDefault && name !== zone) return { kind: 'missing', zone };
    const isWithout = address === undefined || odd(name);
    return { kind: 'addresses', addresses: isWithout ? [] : this.bothFamilies(address), zone };
  }

  /** An address of the gateway or the host stands for those of either family. */
  private bothFamilies(address: IpAddress): readonly IpAddress[] {
    return this.places.find((place) => place.some((one) => one.equals(address))) ?? [address];
  }

  private findReverse(name: string): Found | undefined {
    const asked = reverseNetwork(name);
    if (asked === undefined) return this.findZone(name);
    const network = this.networks.find(
      (one) => asked.bits >= one.bits && isInside(one, asked.address),
    );
    if (network === undefined) return this.findZone(name);
    const zone = reverseZone(network);
    // A name on the way to those of addresses exists, whether or not any does.
    if (!isWhole(asked)) return { kind: 'addresses', addresses: [], zone };
    const guest = this.guests?.nameAt(asked.address);
    return guest === undefined
      ? { kind: 'missing', zone }
      : { kind: 'pointer', target: `${guest}.${GUESTS_ZONE}` };
  }

  private guestAddresses(name: string): readonly IpAddress[] {
    const label = name.slice(0, -GUESTS_ZONE.length - 1);
    if (!name.endsWith(`.${GUESTS_ZONE}`) || label.includes('.')) return [];
    return this.guests?.addressesOf(label) ?? [];
  }

  private findZone(name: string): Found | undefined {
    for (let zone = name; zone !== ''; zone = parent(zone)) {
      const addresses = this.zones.get(zone);
      if (addresses !== undefined) {
        return { kind: 'addresses', addresses: odd(name) ? [] : addresses, zone };
      }
      if (BUILT_IN_ZONES.some((own) => own === zone)) {
        const addresses = this.guestAddresses(name);
        return zone === name || addresses.length > 0
          ? { kind: 'addresses', addresses, zone }
          : { kind: 'missing', zone };
      }
    }
    return undefined;
  }

  private setPointer(address: IpAddress, label: string): void {
    this.builtInPointers.set(reverseName(address), `${label}.${GUESTS_ZONE}`);
  }
}

function addressAnswers(query: DnsQuery, addresses: readonly IpAddress[]): Answer[] {
  const name = query.name;
  return addresses
    .filter(({ family }) => query.type === TYPE_ANY || query.type === typeOf(family))
    .map((address) => ({
      type: address.family === 4 ? 'A' : 'AAAA',
      name,
      ttl: LOCAL_TTL_S,
      data: address.toString(),
    }));
}

function pointerAnswers(query: DnsQuery, target: string): Answer[] {
  if (query.type !== TYPE_PTR && query.type !== TYPE_ANY) return [];
  return [{ type: 'PTR', name: query.name, ttl: LOCAL_TTL_S, data: target }];
}

function grouped(
  pairs: readonly (readonly [string, IpAddress])[],
): ReadonlyMap<string, readonly IpAddress[]> {
  const map = new Map<string, IpAddress[]>();
  for (const [name, address] of pairs) {
    const list = map.get(name);
    if (list === undefined) map.set(name, [address]);
    else if (!list.some((other) => other.equals(address))) list.push(address);
  }
  return map;
}

const typeOf = (family: 4 | 6): number => (family === 4 ? TYPE_A : TYPE_AAAA);
const isBelow = (name: string, zone: string): boolean => name === zone || name.endsWith(`.${zone}`);
/** Whether the name has bytes that dns-packet would not write back as they were. */
const odd = (name: string): boolean => name.includes('\\');

function parent(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? '' : name.slice(dot + 1);
}
