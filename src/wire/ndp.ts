/** Neighbor Discovery (RFC 4861) as far as it says who has an address. Offsets are from the ICMPv6 header. */
import type { IpAddress } from '../base/ip-address.ts';
import { emitIpv6Address } from './ipv6.ts';
import { type Mac, readMac, writeMac } from './mac.ts';

const TARGET = 8;
const ADDRESS_LEN = 16;

export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;
export const REDIRECT = 137;
/** No router has forwarded the packet (RFC 4861 §3.1). */
export const NDP_HOP_LIMIT = 255;
/** Of the address in question, in solicitations and advertisements of neighbours. */
export const NDP_TARGET: number = TARGET;

export const SOURCE_LINK_LAYER = 1;
export const TARGET_LINK_LAYER = 2;
const OPTION_UNIT = 8;
const FLAGS = 4;
const ROUTER_FLAG = 0x8000_0000;
const SOLICITED_FLAG = 0x4000_0000;
const OVERRIDE_FLAG = 0x2000_0000;
/** A message about a neighbour without options. */
export const NEIGHBOR_MESSAGE_MIN: number = TARGET + ADDRESS_LEN;
/** A message about a neighbour with one Ethernet address. */
export const NEIGHBOR_MESSAGE_LEN: number = TARGET + ADDRESS_LEN + OPTION_UNIT;

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

/**
 * Where the first option of `kind` stands in a message of a host.
 *
 * @returns 0 where there is none; -1 where the message is not whole
 */
export function findNdpOption(
  view: DataView,
  type: number,
  off: number,
  len: number,
  kind: number,
): number {
  const end = off + len;
  let option = ndpOptions(type, off, len);
  let found = 0;
  while (option >= 0 && option < end) {
    const next = nextNdpOption(view, option, end);
    if (next >= 0 && found === 0 && view.getUint8(option) === kind) found = option;
    option = next;
  }
  return option < 0 ? -1 : found;
}

export const isOverriding = (view: DataView, off: number): boolean =>
  (view.getUint32(off + FLAGS) & OVERRIDE_FLAG) !== 0;
export const isSolicited = (view: DataView, off: number): boolean =>
  (view.getUint32(off + FLAGS) & SOLICITED_FLAG) !== 0;

/**
 * Write a solicitation without its sum: who has `target`?
 *
 * @param mac of the sender
 */
export function emitSolicitation(view: DataView, off: number, target: IpAddress, mac: Mac): void {
  emitMessage(view, off, NEIGHBOR_SOLICITATION, 0, target, SOURCE_LINK_LAYER, mac);
}

/**
 * Write an advertisement of a router, without its sum: `target` is at `mac`.
 *
 * @param solicited it answers a solicitation from an address
 */
export function emitAdvertisement(
  view: DataView,
  off: number,
  target: IpAddress,
  mac: Mac,
  solicited: boolean,
): void {
  const flags = ROUTER_FLAG + OVERRIDE_FLAG + (solicited ? SOLICITED_FLAG : 0);
  emitMessage(view, off, NEIGHBOR_ADVERTISEMENT, flags, target, TARGET_LINK_LAYER, mac);
}

function emitMessage(
  view: DataView,
  off: number,
  type: number,
  flags: number,
  target: IpAddress,
  option: number,
  mac: Mac,
): void {
  view.setUint32(off, type * 0x100_0000);
  view.setUint32(off + FLAGS, flags);
  emitIpv6Address(view, off + TARGET, target);
  view.setUint16(off + TARGET + ADDRESS_LEN, (option << 8) | 1);
  writeMac(view, off + TARGET + ADDRESS_LEN + 2, mac);
}
