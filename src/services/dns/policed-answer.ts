/**
 * An answer as a policy lets a guest have it: without addresses that it may not be led to, hints of HTTPS and SVCB records
 * included, and without keys for hidden server names. What is signed and was changed loses its signatures.
 */
import { IpAddress, ipv4 } from '../../base/ip-address.ts';
import {
  CLASS_IN,
  type DnsQuery,
  eachRecord,
  type RecordAt,
  readName,
  TYPE_A,
  TYPE_AAAA,
  TYPE_CNAME,
  TYPE_HTTPS,
  TYPE_SVCB,
  u32,
} from './message.ts';
import { ECH, withHints, withoutParameter } from './svcb.ts';
import { expandName } from './wire-name.ts';
import { coveredType, type Edit, withoutRecords } from './without-records.ts';

export interface AnswerRules {
  /** Whether the guest may be led to the address. */
  opens(address: IpAddress): boolean;
  /** Of a name that the asked one is an alias of. */
  deniesAlias(name: string): boolean;
}

export type Policed =
  /** The reply itself, where nothing was to be changed. */
  | { readonly kind: 'answer'; readonly reply: Uint8Array }
  /** None of the addresses that were asked for is left. */
  | { readonly kind: 'no-address' }
  | { readonly kind: 'denied-alias'; readonly name: string }
  | { readonly kind: 'malformed' };

/** Made where something is changed, which is seldom. */
interface Edits {
  /** By the offset of the record. */
  readonly at: Map<number, ReturnType<Edit>>;
  readonly types: Set<number>;
}

export function policedAnswer(query: DnsQuery, reply: Uint8Array, rules: AnswerRules): Policed {
  let edits: Edits | undefined;
  let wanted = 0;
  let alias: string | undefined;
  const isSound = eachRecord(reply, (record) => {
    const { section, off, type } = record;
    if (type === query.type && section === 'answer') wanted++;
    alias ??= deniedAlias(reply, record, rules);
    const edit = editOf(reply, record, rules);
    if (edit === undefined) return;
    edits ??= { at: new Map(), types: new Set() };
    edits.at.set(off, edit);
    edits.types.add(type);
    if (type === query.type && section === 'answer' && edit === 'left-out') wanted--;
  });
  if (!isSound) return { kind: 'malformed' };
  if (alias !== undefined) return { kind: 'denied-alias', name: alias };
  if (edits === undefined) return { kind: 'answer', reply };
  const { at, types } = edits;
  const isAddress = query.type === TYPE_A || query.type === TYPE_AAAA;
  if (isAddress && wanted === 0) return { kind: 'no-address' };
  const rest = withoutRecords(query, reply, (record) => {
    const covered = coveredType(reply, record);
    return covered !== undefined && types.has(covered) ? 'left-out' : at.get(record.off);
  });
  return rest === undefined ? { kind: 'malformed' } : { kind: 'answer', reply: rest };
}

function deniedAlias(
  reply: Uint8Array,
  { section, type, klass, dataOff }: RecordAt,
  rules: AnswerRules,
): string | undefined {
  if (section !== 'answer' || type !== TYPE_CNAME || klass !== CLASS_IN) return undefined;
  const target = expandName(reply, dataOff);
  const name = target === undefined ? undefined : readName(target, 0);
  return name !== undefined && rules.deniesAlias(name) ? name : undefined;
}

function editOf(
  reply: Uint8Array,
  { off, type, klass, ttlOff, dataOff, dataLen, end }: RecordAt,
  rules: AnswerRules,
): ReturnType<Edit> {
  if (klass !== CLASS_IN) return undefined;
  const word = (at: number): number => u32(reply, dataOff + at);
  switch (type) {
    case TYPE_A:
      return dataLen === 4 && rules.opens(ipv4(word(0))) ? undefined : 'left-out';
    case TYPE_AAAA: {
      if (dataLen !== 16) return 'left-out';
      const address = new IpAddress(word(0), word(4), word(8), word(12));
      return rules.opens(address) ? undefined : 'left-out';
    }
    case TYPE_HTTPS:
    case TYPE_SVCB: {
      const data = reply.subarray(dataOff, end);
      const rest = withoutParameter(
        withHints(data, (address) => rules.opens(address)),
        ECH,
      );
      if (rest === data) return undefined;
      const owner = expandName(reply, off);
      if (owner === undefined) return 'left-out';
      return { owner, type, klass, ttlS: u32(reply, ttlOff), data: rest };
    }
  }
  return undefined;
}
