/**
 * DHCPv6 messages between clients and servers (RFC 9915). Offsets are from the message's first byte, which is byte 0 of
 * the view; those of an option are of its code, and those of an association are of what follows the option's header.
 */
import type { IpAddress } from '../base/ip-address.ts';
import type { Slab } from '../base/slab.ts';
import { writeIpv6Address } from './ipv6-address.ts';

const TYPE = 0;
const XID = 0;
const OPTIONS = 4;
const OPTION_HEADER = 4;
const IA_IAID = 0;
const IA_OPTIONS = 12;
const ADDRESS_PREFERRED = 16;
const ADDRESS_VALID = 20;
const ADDRESS_OPTIONS = 24;
/** RFC 9915 §11.1: a type of two bytes, and 1 to 128 more. */
const MIN_DUID = 3;
const MAX_DUID = 130;
/** In the whole message, nested ones included. Clients send about ten. */
const MAX_OPTIONS = 64;

export const DHCPV6_CLIENT_PORT = 546;
export const DHCPV6_SERVER_PORT = 547;

export const SOLICIT = 1;
export const ADVERTISE = 2;
export const REQUEST6 = 3;
export const CONFIRM = 4;
export const RENEW = 5;
export const REBIND = 6;
export const REPLY = 7;
export const RELEASE6 = 8;
export const DECLINE6 = 9;
export const RECONFIGURE = 10;
export const INFORMATION_REQUEST = 11;
export const RELAY_FORWARD = 12;
export const RELAY_REPLY = 13;

export const OPT6_CLIENT_ID = 1;
export const OPT6_SERVER_ID = 2;
export const OPT6_IA_NA = 3;
export const OPT6_IA_TA = 4;
export const OPT6_IA_ADDRESS = 5;
export const OPT6_OPTION_REQUEST = 6;
export const OPT6_PREFERENCE = 7;
export const OPT6_STATUS = 13;
export const OPT6_RAPID_COMMIT = 14;
export const OPT6_DNS = 23;
export const OPT6_SEARCH = 24;
export const OPT6_IA_PD = 25;
export const OPT6_SNTP = 31;
export const OPT6_REFRESH_TIME = 32;
export const OPT6_FQDN = 39;
export const OPT6_NTP = 56;
export const OPT6_SOL_MAX_RT = 82;
export const OPT6_INF_MAX_RT = 83;

/** Status codes (RFC 9915 §21.13). */
export const SUCCESS = 0;
export const NO_ADDRS_AVAIL = 2;
export const NO_BINDING = 3;
export const NOT_ON_LINK = 4;

export type Dhcpv6Drop =
  | 'dhcpv6-truncated'
  | 'dhcpv6-relayed'
  | 'dhcpv6-not-a-request'
  | 'dhcpv6-bad-options'
  | 'dhcpv6-too-many-options'
  | 'dhcpv6-no-client-id'
  | 'dhcpv6-no-server-id'
  | 'dhcpv6-foreign-option';

/** What RFC 9915 §16 asks of a client's messages, by type. */
interface Rule {
  readonly clientId: boolean;
  /** Undefined: it may be there. */
  readonly serverId: boolean | undefined;
  readonly associations: boolean;
}
const ANY_SERVER: Rule = { clientId: true, serverId: false, associations: true };
const ONE_SERVER: Rule = { clientId: true, serverId: true, associations: true };
const RULES: ReadonlyMap<number, Rule> = new Map([
  [SOLICIT, ANY_SERVER],
  [REQUEST6, ONE_SERVER],
  [CONFIRM, ANY_SERVER],
  [RENEW, ONE_SERVER],
  [REBIND, ANY_SERVER],
  [RELEASE6, ONE_SERVER],
  [DECLINE6, ONE_SERVER],
  [INFORMATION_REQUEST, { clientId: false, serverId: undefined, associations: false }],
]);

/**
 * Check a client's message once. After `undefined`, every accessor below is in bounds, the options are well-formed as
 * deep as they are read, and those that its type must have, or must not have, are there or not.
 *
 * @returns why to drop it
 */
export function checkDhcpv6(view: DataView): Dhcpv6Drop | undefined {
  if (view.byteLength < OPTIONS) return 'dhcpv6-truncated';
  const type = view.getUint8(TYPE);
  if (type === RELAY_FORWARD || type === RELAY_REPLY) return 'dhcpv6-relayed';
  const rule = RULES.get(type);
  if (rule === undefined) return 'dhcpv6-not-a-request';
  const left = optionsLeft(view, OPTIONS, view.byteLength, MAX_OPTIONS);
  if (left < 0) return left === BAD ? 'dhcpv6-bad-options' : 'dhcpv6-too-many-options';
  const hasClientId = dhcpv6Option(view, OPT6_CLIENT_ID) !== undefined;
  if (rule.clientId && !hasClientId) return 'dhcpv6-no-client-id';
  const hasServerId = dhcpv6Option(view, OPT6_SERVER_ID) !== undefined;
  if (rule.serverId === true && !hasServerId) return 'dhcpv6-no-server-id';
  if (rule.serverId === false && hasServerId) return 'dhcpv6-foreign-option';
  if (!rule.associations && hasAssociation(view)) return 'dhcpv6-foreign-option';
  return undefined;
}

export const dhcpv6Type = (view: DataView): number => view.getUint8(TYPE);

/**
 * The first occurrence of an option that is in no other.
 *
 * @returns a view of the borrowed message
 */
export function dhcpv6Option(view: DataView, code: number): Uint8Array | undefined {
  const at = nextOption(view, OPTIONS, view.byteLength, code);
  return at < 0
    ? undefined
    : new Uint8Array(view.buffer, view.byteOffset + at + OPTION_HEADER, lengthAt(view, at));
}

/** Whether option `wanted` is in the option request (RFC 9915 §21.7). */
export function dhcpv6Requests(view: DataView, wanted: number): boolean {
  const at = nextOption(view, OPTIONS, view.byteLength, OPT6_OPTION_REQUEST);
  if (at < 0) return false;
  const end = at + OPTION_HEADER + lengthAt(view, at);
  for (let code = at + OPTION_HEADER; code + 2 <= end; code += 2) {
    if (view.getUint16(code) === wanted) return true;
  }
  return false;
}

/**
 * The identity associations for addresses (IA_NA), one after the other.
 *
 * @param after the one before; 0 for the first
 * @returns its offset; -1 where there is no other
 */
export function nextAssociation(view: DataView, after: number): number {
  const from = after === 0 ? OPTIONS : after + lengthAt(view, after - OPTION_HEADER);
  const at = nextOption(view, from, view.byteLength, OPT6_IA_NA);
  return at < 0 ? -1 : at + OPTION_HEADER;
}

export const associationId = (view: DataView, ia: number): number => view.getUint32(ia + IA_IAID);

/**
 * The addresses in an association, one after the other.
 *
 * @param after the one before; 0 for the first
 * @returns offset of the address itself; -1 where there is no other
 */
export function nextAddress(view: DataView, ia: number, after: number): number {
  const end = ia + lengthAt(view, ia - OPTION_HEADER);
  const from = after === 0 ? ia + IA_OPTIONS : after + lengthAt(view, after - OPTION_HEADER);
  const at = nextOption(view, from, end, OPT6_IA_ADDRESS);
  return at < 0 ? -1 : at + OPTION_HEADER;
}

/**
 * The address that a reply gives.
 *
 * @param reply as written by {@link emitDhcpv6Reply}
 * @returns its offset; -1 where it gives none
 */
export function grantedAddress(reply: DataView): number {
  if (reply.getUint8(TYPE) !== REPLY) return -1;
  for (let ia = nextAssociation(reply, 0); ia >= 0; ia = nextAssociation(reply, ia)) {
    const at = nextAddress(reply, ia, 0);
    if (at >= 0 && reply.getUint32(at + ADDRESS_VALID) > 0) return at;
  }
  return -1;
}

const BAD = -1;
const TOO_MANY = -2;

/** @returns how many more options there may be; or `BAD`, `TOO_MANY` */
function optionsLeft(view: DataView, from: number, to: number, most: number): number {
  let left = most;
  let at = from;
  while (at < to) {
    if (left === 0) return TOO_MANY;
    left--;
    if (at + OPTION_HEADER > to) return BAD;
    const code = view.getUint16(at);
    const data = at + OPTION_HEADER;
    const end = data + lengthAt(view, at);
    if (end > to || !isLengthSound(code, end - data)) return BAD;
    const nested = nestedAt(code);
    if (nested > 0) left = optionsLeft(view, data + nested, end, left);
    if (left < 0) return left;
    at = end;
  }
  return left;
}

function isLengthSound(code: number, len: number): boolean {
  if (code === OPT6_CLIENT_ID || code === OPT6_SERVER_ID) return len >= MIN_DUID && len <= MAX_DUID;
  return len >= nestedAt(code);
}

/** Where options begin in an option; 0: it has none that are read. */
function nestedAt(code: number): number {
  if (code === OPT6_IA_NA) return IA_OPTIONS;
  return code === OPT6_IA_ADDRESS ? ADDRESS_OPTIONS : 0;
}

const hasAssociation = (view: DataView): boolean =>
  [OPT6_IA_NA, OPT6_IA_TA, OPT6_IA_PD].some((code) => dhcpv6Option(view, code) !== undefined);

const lengthAt = (view: DataView, at: number): number => view.getUint16(at + 2);

/** Of sound options. @returns offset of the next one with `code`, or -1 */
function nextOption(view: DataView, from: number, to: number, code: number): number {
  for (let at = from; at < to; at += OPTION_HEADER + lengthAt(view, at)) {
    if (view.getUint16(at) === code) return at;
  }
  return -1;
}

export interface Dhcpv6Option {
  readonly code: number;
  readonly data: Uint8Array;
  /** Lengths that `data` may be cut to, ascending, where not all of it fits. */
  readonly cuts?: readonly number[];
}

export interface Dhcpv6ReplyRepr {
  readonly type: typeof ADVERTISE | typeof REPLY;
  /** The most important first: what does not fit `maxLen` is left out. */
  readonly options: readonly Dhcpv6Option[];
  readonly maxLen: number;
  /** Not all of an option fits: so many bytes of its data do. */
  readonly onCut?: (code: number, len: number) => void;
}

/**
 * Write a reply to the checked `request`.
 *
 * @param off room for `repr.maxLen` bytes
 * @returns bytes written
 */
export function emitDhcpv6Reply(
  out: Slab,
  off: number,
  request: DataView,
  repr: Dhcpv6ReplyRepr,
): number {
  const { bytes, view } = out;
  view.setUint32(off, request.getUint32(XID));
  view.setUint8(off + TYPE, repr.type);
  let at = OPTIONS;
  for (const { code, data, cuts = [] } of repr.options) {
    const room = repr.maxLen - at - OPTION_HEADER;
    const len = [...cuts, data.length].findLast((cut) => cut <= room);
    if (len !== data.length) repr.onCut?.(code, len ?? 0);
    if (len === undefined) continue;
    emitHeader(view, off + at, code, len);
    bytes.set(data.subarray(0, len), off + at + OPTION_HEADER);
    at += OPTION_HEADER + len;
  }
  return at;
}

/** An address in an association; times are in seconds. */
export interface AssociatedAddress {
  readonly address: IpAddress;
  readonly preferred: number;
  readonly valid: number;
}

/** Status codes go without a message: they say it all. */
export interface AssociationRepr {
  readonly id: number;
  readonly t1: number;
  readonly t2: number;
  readonly addresses: readonly AssociatedAddress[];
  readonly status: number | undefined;
}

export function associationOption(ia: AssociationRepr): Dhcpv6Option {
  const each = OPTION_HEADER + ADDRESS_OPTIONS;
  const statusLen = ia.status === undefined ? 0 : OPTION_HEADER + 2;
  const data = new Uint8Array(IA_OPTIONS + ia.addresses.length * each + statusLen);
  const view = new DataView(data.buffer);
  view.setUint32(IA_IAID, ia.id);
  view.setUint32(4, ia.t1);
  view.setUint32(8, ia.t2);
  let at = IA_OPTIONS;
  // Addresses first: BusyBox looks no further than the first option.
  for (const { address, preferred, valid } of ia.addresses) {
    emitHeader(view, at, OPT6_IA_ADDRESS, ADDRESS_OPTIONS);
    at += OPTION_HEADER;
    writeIpv6Address(view, at, address);
    view.setUint32(at + ADDRESS_PREFERRED, preferred);
    view.setUint32(at + ADDRESS_VALID, valid);
    at += ADDRESS_OPTIONS;
  }
  if (ia.status !== undefined) {
    emitHeader(view, at, OPT6_STATUS, 2);
    view.setUint16(at + OPTION_HEADER, ia.status);
  }
  return { code: OPT6_IA_NA, data };
}

function emitHeader(view: DataView, at: number, code: number, len: number): void {
  view.setUint16(at, code);
  view.setUint16(at + 2, len);
}
