/**
 * AAAA records made of A records (DNS64, RFC 6147), for names that have no IPv6 address of use: their IPv4 addresses in the
 * prefixes of NAT64. Addresses of the whole Internet are in one prefix, private ones in another or nowhere (RFC 6052 §3.1).
 *
 * hawser does not validate. A client that does so itself (CD and DO) gets no answer of this kind (RFC 6147 §5.5).
 */
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import { isInside, type Prefix } from '../address-text.ts';
import { embedIpv4, ipv4Scope, type Nat64Prefix } from '../nat64-address.ts';
import {
  CLASS_IN,
  type DnsQuery,
  dnsFlags,
  dnsRcode,
  eachRecord,
  FLAG_CD,
  FLAG_TC,
  NOERROR,
  NXDOMAIN,
  type RecordAt,
  setU16,
  setU32,
  TYPE_A,
  TYPE_AAAA,
  TYPE_SOA,
  u32,
} from './message.ts';
import { expandName } from './wire-name.ts';
import { coveredType, withoutRecords } from './without-records.ts';

/** RFC 6147 §5.1.7: without an SOA in the negative answer. */
const TTL_WITHOUT_SOA_S = 600;

export interface Nat64Prefixes {
  readonly forPublic: Nat64Prefix;
  /** Undefined: private IPv4 addresses are not translated. */
  readonly forPrivate: Nat64Prefix | undefined;
}

export class Dns64 {
  readonly prefixes: Nat64Prefixes;
  readonly prefixesInUse: readonly Nat64Prefix[];
  private readonly ours: readonly Prefix[];

  /** @param ours networks of guests, never translated */
  constructor(prefixes: Nat64Prefixes, ours: readonly Prefix[]) {
    this.prefixes = prefixes;
    const { forPublic, forPrivate } = prefixes;
    this.prefixesInUse = forPrivate === undefined ? [forPublic] : [forPublic, forPrivate];
    this.ours = ours;
  }

  /** @returns undefined for an IPv4 address that is not translated */
  addressFor(address: IpAddress): IpAddress | undefined {
    const scope = ipv4Scope(address.d);
    if (scope === 'none' || this.ours.some((net) => isInside(net, address))) return undefined;
    const { forPublic, forPrivate } = this.prefixes;
    const prefix = scope === 'public' ? forPublic : forPrivate;
    return prefix === undefined ? undefined : embedIpv4(prefix, address.d);
  }
}

/** RFC 6147 §5.5: not for a client that validates itself. */
export const mayBeTranslated = ({ type, klass, flags, edns }: DnsQuery): boolean =>
  type === TYPE_AAAA && klass === CLASS_IN && ((flags & FLAG_CD) === 0 || edns?.dnssecOk !== true);

/**
 * Whether A records are to be asked for (RFC 6147 §5.1.2, §5.1.3): any failure but that of a name that does not exist counts
 * as no addresses.
 *
 * @param reply to the query for AAAA records
 * @param isHidden whether guests have no use for any IPv6 address but ours
 */
export function lacksAddresses(reply: Uint8Array, isHidden: boolean): boolean {
  const rcode = dnsRcode(reply);
  if (rcode === NXDOMAIN || (dnsFlags(reply) & FLAG_TC) !== 0) return false;
  if (rcode !== NOERROR) return true;
  let has = false;
  eachRecord(reply, (record) => {
    has ||= isAddress(record, TYPE_AAAA) && !isExcluded(reply, record);
  });
  return isHidden || !has;
}

/** @returns `query`, for A records */
export function forIpv4(query: DnsQuery): DnsQuery {
  const bytes = new Uint8Array(query.bytes);
  setU16(bytes, query.questionEnd - 4, TYPE_A);
  return { ...query, bytes, type: TYPE_A };
}

/** Without the addresses that stand for IPv4 ones by themselves (RFC 6147 §5.1.4). */
export function withoutExcluded(query: DnsQuery, reply: Uint8Array): Uint8Array {
  let has = false;
  const isUnwanted = (record: RecordAt): boolean =>
    isAddress(record, TYPE_AAAA) && isExcluded(reply, record);
  eachRecord(reply, (record) => {
    has ||= isUnwanted(record);
  });
  if (!has) return reply;
  const rest = withoutRecords(query, reply, (record) =>
    isUnwanted(record) ? 'left-out' : undefined,
  );
  return rest ?? reply;
}

/**
 * @param query for AAAA records
 * @param negative its answer
 * @param positive the answer for A records
 * @returns undefined when `positive` has none that are translated
 */
export function translated(
  dns64: Dns64,
  query: DnsQuery,
  negative: Uint8Array,
  positive: Uint8Array,
): Uint8Array | undefined {
  if (dnsRcode(positive) !== NOERROR) return undefined;
  const limitS = negativeTtlS(negative);
  let made = 0;
  const reply = withoutRecords(query, positive, (record) => {
    if (record.section !== 'answer') return undefined;
    if (coveredType(positive, record) === TYPE_A) return 'left-out';
    if (!isAddress(record, TYPE_A)) return undefined;
    const owner = expandName(positive, record.off);
    const address = dns64.addressFor(ipv4(u32(positive, record.dataOff)));
    if (owner === undefined || address === undefined) return 'left-out';
    made++;
    const ttlS = Math.min(u32(positive, record.ttlOff), limitS);
    return { owner, type: TYPE_AAAA, klass: CLASS_IN, ttlS, data: dataOf(address) };
  });
  return made === 0 ? undefined : reply;
}

/** RFC 6147 §5.1.7: no longer than the absence of AAAA records may be remembered. */
function negativeTtlS(negative: Uint8Array): number {
  let ttlS = TTL_WITHOUT_SOA_S;
  eachRecord(negative, ({ section, type, ttlOff, dataLen, end }) => {
    if (section !== 'authority' || type !== TYPE_SOA || dataLen < 22) return;
    ttlS = Math.min(u32(negative, ttlOff), u32(negative, end - 4));
  });
  return ttlS;
}

const isAddress = ({ section, type, klass, dataLen }: RecordAt, wanted: number): boolean =>
  section === 'answer' &&
  type === wanted &&
  klass === CLASS_IN &&
  dataLen === (type === TYPE_A ? 4 : 16);

/** ::ffff:0:0/96. */
const isExcluded = (reply: Uint8Array, { dataOff }: RecordAt): boolean =>
  (u32(reply, dataOff) | u32(reply, dataOff + 4)) === 0 && u32(reply, dataOff + 8) === 0xffff;

function dataOf({ a, b, c, d }: IpAddress): Uint8Array {
  const data = new Uint8Array(16);
  for (const [i, word] of [a, b, c, d].entries()) setU32(data, 4 * i, word >>> 0);
  return data;
}
