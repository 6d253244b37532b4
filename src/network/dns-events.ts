/** Queries of guests as events. */
import type { DnsQueryView } from '../control/events/network-events.ts';
import { addressAnswers } from '../services/dns/address-answers.ts';
import { type DnsQuery, dnsRcode } from '../services/dns/message.ts';
import type { Guest } from '../stack/guest.ts';
import type { FlowViews } from './flow-views.ts';
import { rcodeText, typeText } from './notes.ts';

const ADDRESSES_SHOWN = 8;

/** @param reply of the resolver, borrowed */
export function dnsQueryView(
  flows: Pick<FlowViews, 'whoIs'>,
  owner: Guest,
  { name, type }: DnsQuery,
  reply: Uint8Array,
): DnsQueryView {
  const addresses = addressAnswers(reply)?.addresses.slice(0, ADDRESSES_SHOWN) ?? [];
  return {
    ...flows.whoIs(owner),
    name,
    type: typeText(type),
    rcode: rcodeText(dnsRcode(reply)),
    addresses: addresses.map(({ address }) => address.toString()),
  };
}
