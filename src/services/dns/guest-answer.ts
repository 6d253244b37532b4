/**
 * What a guest gets for a query, of the two families: public addresses of one that it cannot use are left out, and names
 * without addresses of IPv6 get some where there is NAT64. Our own names are never left out.
 *
 * What is found is kept as it was found (by a cache below): a change of policy holds for the next answer.
 */

import {
  type Dns64,
  forIpv4,
  lacksAddresses,
  mayBeTranslated,
  translated,
  withoutExcluded,
} from './dns64.ts';
import { mayHold, withoutFamily } from './hidden-family.ts';
import { type DnsQuery, dnsRcode, NOERROR, SERVFAIL, TYPE_A, TYPE_AAAA } from './message.ts';
import { ipv4OnlyReply } from './nat64-names.ts';
import { aliasReply, type Nat64Pointer, nat64Pointer } from './nat64-pointer.ts';
import { errorReply } from './reply.ts';
import { withoutRecords } from './without-records.ts';

/** As of now. */
export interface FamilyPolicy {
  /** Guests get no public addresses of this family. */
  readonly hidesIpv4: boolean;
  readonly hidesIpv6: boolean;
  /** Undefined: there is no NAT64. */
  readonly dns64: Dns64 | undefined;
}

/** A name of ours, an answer of the DNS, the lack of one, or what a policy says in its place. */
export type Origin = 'ours' | 'dns' | 'failure' | 'denied';

export type Found = (reply: Uint8Array, origin: Origin) => void;

/** Whether the answer may differ from what is found. */
export const concerns = (
  { hidesIpv4, hidesIpv6, dns64 }: FamilyPolicy,
  { type }: DnsQuery,
): boolean =>
  dns64 !== undefined ||
  (hidesIpv6 && mayHold(type, TYPE_AAAA)) ||
  (hidesIpv4 && mayHold(type, TYPE_A));

/** What was done beside finding an answer. */
export type Shaping = 'hidden-family' | 'dns64' | 'nat64-name';

/** Called at most once, perhaps before the function returns that it was given to. */
export type Reply = (message: Uint8Array, shaping?: Shaping) => void;

/** Finds an answer, whatever the policy. `found` is called at most once, perhaps before this returns. */
export type Find = (query: DnsQuery, found: Found) => void;

export function answerGuest(query: DnsQuery, policy: FamilyPolicy, find: Find, reply: Reply): void {
  const { dns64 } = policy;
  if (dns64 === undefined) {
    find(query, (found, origin) => show(query, policy, found, origin, reply));
    return;
  }
  const special = ipv4OnlyReply(query, dns64);
  const pointer = special === undefined ? nat64Pointer(query, dns64) : undefined;
  if (special !== undefined) reply(special, 'nat64-name');
  else if (pointer !== undefined) followPointer(query, pointer, find, reply);
  else if (mayBeTranslated(query)) translate(query, policy, dns64, find, reply);
  else find(query, (found, origin) => show(query, policy, found, origin, reply));
}

function translate(
  query: DnsQuery,
  policy: FamilyPolicy,
  dns64: Dns64,
  find: Find,
  reply: Reply,
): void {
  find(query, (found, origin) => {
    if (origin === 'failure') {
      reply(found); // to ask once more would take as long again
      return;
    }
    const isHidden = policy.hidesIpv6 && origin === 'dns';
    const own = isHidden ? withoutFamily(query, found, TYPE_AAAA) : withoutExcluded(query, found);
    if (!lacksAddresses(found, isHidden)) {
      reply(own);
      return;
    }
    find(forIpv4(query), (positive) => {
      const made = translated(dns64, query, found, positive);
      if (made !== undefined) reply(made, 'dns64');
      else reply(dnsRcode(found) === NOERROR ? own : failed(query, positive));
    });
  });
}

/** RFC 6147 §5.1.6: an error for A records is the answer, and so is that there are none of use. */
function failed(query: DnsQuery, positive: Uint8Array): Uint8Array {
  const renamed = withoutRecords(query, positive, ({ type }) =>
    type === TYPE_A ? 'left-out' : undefined,
  );
  return renamed ?? errorReply(query, SERVFAIL);
}

function followPointer(query: DnsQuery, pointer: Nat64Pointer, find: Find, reply: Reply): void {
  if ('reply' in pointer) reply(pointer.reply, 'nat64-name');
  else find(pointer.alias, (found) => reply(aliasReply(query, pointer, found), 'nat64-name'));
}

function show(
  query: DnsQuery,
  { hidesIpv4, hidesIpv6 }: FamilyPolicy,
  found: Uint8Array,
  origin: Origin,
  reply: Reply,
): void {
  let rest = found;
  if (origin === 'dns') {
    if (hidesIpv6 && mayHold(query.type, TYPE_AAAA)) rest = withoutFamily(query, rest, TYPE_AAAA);
    if (hidesIpv4 && mayHold(query.type, TYPE_A)) rest = withoutFamily(query, rest, TYPE_A);
  }
  if (rest === found) reply(found);
  else reply(rest, 'hidden-family');
}
