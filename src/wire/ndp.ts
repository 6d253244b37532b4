/** Neighbor Discovery (RFC 4861) as far as it says who has an address. Offsets are from the ICMPv6 header. */
import { type Mac, readMac } from './mac.ts';

const TARGET = 8;
const ADDRESS_LEN = 16;

export const PROTOCOL_ICMPV6 = 58;
export const ICMPV6_HEADER_LEN = 8;

export const MLD_QUERY = 130;
export const MLD_REPORT = 131;
export const MLD_DONE = 132;
export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;
export const REDIRECT = 137;
export const MLDV2_REPORT = 143;
/** No router has forwarded the packet (RFC 4861 §3.1). */
export const NDP_HOP_LIMIT = 255;
/** Of the address in question, in solicitations and advertisements of neighbours. */
export const NDP_TARGET: number = TARGET;

const SOURCE_LINK_LAYER = 1;
const TARGET_LINK_LAYER = 2;
const OPTION_UNIT = 8;

export const icmpv6Type = (view: DataView, off: number): number => view.getUint8(off);

export const isNdp = (type: number): boolean => type >= ROUTER_SOLICITATION && type <= REDIRECT;

/** Where the options of a message begin; -1 where its fixed part is not whole. */
export function ndpOptions(type: number, off: number, len: number): number {
  const isOfNeighbor = type === NEIGHBOR_SOLICITATION || type === NEIGHBOR_ADVERTISEMENT;
  const at = isOfNeighbor ? TARGET + ADDRESS_LEN : TARGET;
  return at > len ? -1 : off + at;
}

/**
 * @param at of an option
 * @returns offset of the next one; -1 where this one is not whole
 */
export function nextNdpOption(view: DataView, at: number, end: number): number {
  if (at + 2 > end) return -1;
  const len = view.getUint8(at + 1) * OPTION_UNIT;
  return len === 0 || at + len > end ? -1 : at + len;
}

/** The Ethernet address that a whole option gives, or -1. */
export function ndpLinkLayerAddress(view: DataView, at: number): Mac {
  const kind = view.getUint8(at);
  return kind === SOURCE_LINK_LAYER || kind === TARGET_LINK_LAYER ? readMac(view, at + 2) : -1;
}
