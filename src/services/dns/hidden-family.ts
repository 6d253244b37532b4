/**
 * Public addresses of a family that guests cannot use are left out of what they get: a query for them is answered as if the
 * name had none (NODATA, never NXDOMAIN), and hints of HTTPS and SVCB records go too (RFC 9460 §7.3).
 *
 * What a client that asks for signatures gets signed stays whole: without its addresses it would be taken for a forgery.
 */
import {
  CLASS_IN,
  type DnsQuery,
  eachRecord,
  type RecordAt,
  TYPE_A,
  type TYPE_AAAA,
  TYPE_ANY,
  TYPE_HTTPS,
  TYPE_MX,
  TYPE_NS,
  TYPE_RRSIG,
  TYPE_SRV,
  TYPE_SVCB,
  u32,
} from './message.ts';
import { IPV4_HINT, IPV6_HINT, withoutParameter } from './svcb.ts';
import { expandName } from './wire-name.ts';
import { coveredType, type Edit, withoutRecords } from './without-records.ts';

export type AddressType = typeof TYPE_A | typeof TYPE_AAAA;

/** Types whose answers may hold addresses beside those asked for. */
const WITH_ADDRESSES: ReadonlySet<number> = new Set([
  ...[TYPE_NS, TYPE_MX, TYPE_SRV, TYPE_SVCB, TYPE_HTTPS, TYPE_ANY],
]);

/** Whether answers to a query for `type` may have records of `hidden`. */
export const mayHold = (type: number, hidden: AddressType): boolean =>
  type === hidden || WITH_ADDRESSES.has(type);

/** @returns `reply` itself where it has no such addresses, or they must stay */
export function withoutFamily(query: DnsQuery, reply: Uint8Array, hidden: AddressType): Uint8Array {
  const edit = editOf(reply, hidden);
  let has = false;
  let isSigned = false;
  eachRecord(reply, (record) => {
    isSigned ||= record.type === TYPE_RRSIG;
    has ||= edit(record) !== undefined;
  });
  if (!has || (isSigned && query.edns?.dnssecOk === true)) return reply;
  return withoutRecords(query, reply, edit) ?? reply;
}

const editOf =
  (reply: Uint8Array, hidden: AddressType): Edit =>
  (record) => {
    const { type, klass } = record;
    if (klass !== CLASS_IN) return undefined;
    if (type === hidden || coveredType(reply, record) === hidden) return 'left-out';
    return type === TYPE_HTTPS || type === TYPE_SVCB
      ? withoutHints(reply, record, hidden)
      : undefined;
  };

function withoutHints(
  reply: Uint8Array,
  { off, type, klass, ttlOff, dataOff, end }: RecordAt,
  hidden: AddressType,
): ReturnType<Edit> {
  const data = reply.subarray(dataOff, end);
  const rest = withoutParameter(data, hidden === TYPE_A ? IPV4_HINT : IPV6_HINT);
  const owner = rest === data ? undefined : expandName(reply, off);
  return owner === undefined
    ? undefined
    : { owner, type, klass, ttlS: u32(reply, ttlOff), data: rest };
}
