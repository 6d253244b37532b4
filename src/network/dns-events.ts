/** Queries of guests as events. */
import type { Instant } from '../base/time.ts';
import type { DnsQueryView } from '../control/events/network-events.ts';
import type { QueryTrace } from '../proxy/dns/query-trace.ts';
import { addressAnswers } from '../services/dns/address-answers.ts';
import { type DnsQuery, dnsAnswerCount, dnsRcode } from '../services/dns/message.ts';
import { upstreamText } from '../services/dns/upstream-text.ts';
import type { Guest } from '../stack/guest.ts';
import type { FlowViews } from './flow-views.ts';
import { rcodeText, typeText } from './notes.ts';

const ADDRESSES_SHOWN = 8;

/** @param reply of the resolver to a guest, borrowed */
export function dnsQueryView(
  flows: Pick<FlowViews, 'whoIs'>,
  owner: Guest,
  { name, type }: DnsQuery,
  reply: Uint8Array,
  { startedAt, isDenied, source, upstream }: QueryTrace,
  now: Instant,
): DnsQueryView {
  const addresses = addressAnswers(reply)?.addresses.slice(0, ADDRESSES_SHOWN) ?? [];
  return {
    ...flows.whoIs(owner),
    name,
    type: typeText(type),
    rcode: rcodeText(dnsRcode(reply)),
    verdict: isDenied ? 'denied' : 'allowed',
    addresses: addresses.map(({ address }) => address.toString()),
    answers: dnsAnswerCount(reply),
    source: source ?? null,
    upstream: upstream === undefined ? null : upstreamText(upstream),
    durationMs: Math.round((now - startedAt) * 10) / 10,
  };
}
