/**
 * DHCP messages (RFC 2131, options RFC 2132). Offsets are from the first byte of the BOOTP message,
 * which starts at byte 0 of the view.
 */
import type { Slab } from '../base/slab.ts';
import { labelsOf, type NameList, pushLabel } from './domain-names.ts';
import { type Mac, readMac } from './mac.ts';

const OP = 0;
const HTYPE = 1;
const HLEN = 2;
const XID = 4;
const FLAGS = 10;
const CIADDR = 12;
const YIADDR = 16;
const GIADDR = 24;
const CHADDR = 28;
const SNAME = 44;
const FILE = 108;
const COOKIE = 236;
const OPTIONS = 240;

const MAGIC_COOKIE = 0x6382_5363;
const ETHERNET = 1;
const MAC_LEN = 6;
const BOOTREQUEST = 1;
const BOOTREPLY = 2;
const FLAG_BROADCAST = 0x8000;
/** RFC 1542 §2.1: some relays and clients drop anything shorter. */
const MIN_REPLY_LEN = 300;

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

export const OPT_PAD = 0;
export const OPT_SUBNET_MASK = 1;
export const OPT_ROUTER = 3;
export const OPT_DNS = 6;
export const OPT_HOSTNAME = 12;
export const OPT_DOMAIN = 15;
export const OPT_MTU = 26;
export const OPT_BROADCAST = 28;
export const OPT_NTP = 42;
export const OPT_REQUESTED_IP = 50;
export const OPT_LEASE_TIME = 51;
export const OPT_OVERLOAD = 52;
export const OPT_MESSAGE_TYPE = 53;
export const OPT_SERVER_ID = 54;
export const OPT_PARAMETER_LIST = 55;
export const OPT_MESSAGE = 56;
export const OPT_MAX_SIZE = 57;
export const OPT_T1 = 58;
export const OPT_T2 = 59;
export const OPT_CLIENT_ID = 61;
/** RFC 8925 */
export const OPT_IPV6_ONLY = 108;
export const OPT_SEARCH = 119;
export const OPT_END = 255;

/** Values of option 53. */
export const DISCOVER = 1;
export const OFFER = 2;
export const REQUEST = 3;
export const DECLINE = 4;
export const ACK = 5;
export const NAK = 6;
export const RELEASE = 7;
export const INFORM = 8;

export type DhcpDrop =
  | 'dhcp-truncated'
  | 'dhcp-not-a-request'
  | 'dhcp-bad-hardware'
  | 'dhcp-not-dhcp'
  | 'dhcp-bad-options';

/**
 * Check a client's message once. After `undefined`, every accessor below is in bounds and the
 * options are well-formed.
 *
 * @returns why to drop it; `dhcp-not-dhcp` is a plain BOOTP request
 */
export function checkDhcp(view: DataView): DhcpDrop | undefined {
  if (view.byteLength < COOKIE) return 'dhcp-truncated';
  if (view.getUint8(OP) !== BOOTREQUEST) return 'dhcp-not-a-request';
  if (view.getUint8(HTYPE) !== ETHERNET || view.getUint8(HLEN) !== MAC_LEN) {
    return 'dhcp-bad-hardware';
  }
  if (view.byteLength < OPTIONS || view.getUint32(COOKIE) !== MAGIC_COOKIE) return 'dhcp-not-dhcp';
  if (!optionsAreSound(view, OPTIONS, view.byteLength)) return 'dhcp-bad-options';
  const overload = overloaded(view);
  if ((overload & 1) !== 0 && !optionsAreSound(view, FILE, COOKIE)) return 'dhcp-bad-options';
  if ((overload & 2) !== 0 && !optionsAreSound(view, SNAME, FILE)) return 'dhcp-bad-options';
  return dhcpMessageType(view) === 0 ? 'dhcp-not-dhcp' : undefined;
}

export const dhcpCiaddr = (view: DataView): number => view.getInt32(CIADDR);
export const dhcpYiaddr = (view: DataView): number => view.getInt32(YIADDR);
export const dhcpGiaddr = (view: DataView): number => view.getInt32(GIADDR);
export const dhcpBroadcast = (view: DataView): boolean =>
  (view.getUint16(FLAGS) & FLAG_BROADCAST) !== 0;

export const dhcpChaddr = (view: DataView): Mac => readMac(view, CHADDR);

/** The client's hardware address as lower-case hexadecimal with colons. */
export function dhcpMac(view: DataView): string {
  return hex(new Uint8Array(view.buffer, view.byteOffset + CHADDR, MAC_LEN), ':');
}

/** Option 53; 0 when the message has none. */
export function dhcpMessageType(view: DataView): number {
  const option = dhcpOption(view, OPT_MESSAGE_TYPE);
  return option?.length === 1 ? dhcpUint8(option) : 0;
}

/**
 * The first occurrence of an option, in the order of RFC 2131 §4.1: options, `file`, `sname`.
 *
 * @returns a view of the borrowed message
 */
export function dhcpOption(view: DataView, code: number): Uint8Array | undefined {
  const found = findOption(view, OPTIONS, view.byteLength, code);
  if (found !== undefined) return found;
  const overload = overloaded(view);
  const inFile = (overload & 1) === 0 ? undefined : findOption(view, FILE, COOKIE, code);
  if (inFile !== undefined) return inFile;
  return (overload & 2) === 0 ? undefined : findOption(view, SNAME, FILE, code);
}

/** An option that holds one IPv4 address: int32; undefined when absent or of another length. */
export function dhcpAddressOption(view: DataView, code: number): number | undefined {
  const option = dhcpOption(view, code);
  return option?.length === 4 ? dhcpUint32(option) | 0 : undefined;
}

const dhcpUint8 = (bytes: Uint8Array): number =>
  new DataView(bytes.buffer, bytes.byteOffset, 1).getUint8(0);

/** Four bytes in network order, unsigned. */
export const dhcpUint32 = (bytes: Uint8Array): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);

/** Option 52: 1 `file` holds options, 2 `sname` does, 3 both. */
function overloaded(view: DataView): number {
  const option = findOption(view, OPTIONS, view.byteLength, OPT_OVERLOAD);
  return option?.length === 1 ? dhcpUint8(option) & 3 : 0;
}

/** Whether every option in `from..to` is inside. A missing end mark is accepted, as by all servers. */
function optionsAreSound(view: DataView, from: number, to: number): boolean {
  let at = from;
  while (at < to) {
    const code = view.getUint8(at);
    if (code === OPT_END) return true;
    if (code === OPT_PAD) {
      at++;
      continue;
    }
    if (at + 2 > to) return false;
    at += 2 + view.getUint8(at + 1);
  }
  return at === to;
}

function findOption(
  view: DataView,
  from: number,
  to: number,
  wanted: number,
): Uint8Array | undefined {
  let at = from;
  while (at + 2 <= to) {
    const code = view.getUint8(at);
    if (code === OPT_END) return undefined;
    if (code === OPT_PAD) {
      at++;
      continue;
    }
    const len = view.getUint8(at + 1);
    if (at + 2 + len > to) return undefined;
    if (code === wanted) return new Uint8Array(view.buffer, view.byteOffset + at + 2, len);
    at += 2 + len;
  }
  return undefined;
}

/** Bytes of one option, before it is split to the 255 that fit one length field. */
export interface DhcpOption {
  readonly code: number;
  readonly data: Uint8Array;
  /** Lengths that `data` may be cut to, ascending, where not all of it fits. */
  readonly cuts?: readonly number[];
}

/** The fields of a reply that are not copied from its request. Addresses are int32. */
export interface DhcpReplyRepr {
  readonly ciaddr: number;
  readonly yiaddr: number;
  /** Set the broadcast flag even when the client did not (RFC 2131 §4.3.2, NAK by relay). */
  readonly broadcast: boolean;
  /** The most important first: what does not fit `maxLen` is left out. */
  readonly options: readonly DhcpOption[];
  /** The longest message that the client accepts. */
  readonly maxLen: number;
  /** Not all of an option fits: so many bytes of its data do. */
  readonly onCut?: (code: number, len: number) => void;
}

/**
 * Write a reply to the checked `request` (RFC 2131 §4.3.1, table 3).
 *
 * @param off room for `repr.maxLen` bytes, or 300 if that is more
 * @returns bytes written
 */
export function emitDhcpReply(
  out: Slab,
  off: number,
  request: DataView,
  repr: DhcpReplyRepr,
): number {
  const { bytes, view } = out;
  bytes.fill(0, off, off + Math.max(MIN_REPLY_LEN, OPTIONS));
  view.setUint8(off + OP, BOOTREPLY);
  view.setUint8(off + HTYPE, ETHERNET);
  view.setUint8(off + HLEN, MAC_LEN);
  view.setUint32(off + XID, request.getUint32(XID));
  view.setUint16(
    off + FLAGS,
    repr.broadcast ? FLAG_BROADCAST : request.getUint16(FLAGS) & FLAG_BROADCAST,
  );
  view.setInt32(off + CIADDR, repr.ciaddr);
  view.setInt32(off + YIADDR, repr.yiaddr);
  view.setInt32(off + GIADDR, request.getInt32(GIADDR));
  bytes.set(new Uint8Array(request.buffer, request.byteOffset + CHADDR, 16), off + CHADDR);
  view.setUint32(off + COOKIE, MAGIC_COOKIE);

  let at = OPTIONS;
  for (const { code, data: whole, cuts = [] } of repr.options) {
    const room = repr.maxLen - at - 1;
    const len = [...cuts, whole.length].findLast((cut) => splitLen(cut) <= room);
    if (len !== whole.length) repr.onCut?.(code, len ?? 0);
    if (len === undefined) continue;
    const data = whole.subarray(0, len);
    const parts = Math.max(1, Math.ceil(len / 255));
    for (let part = 0; part < parts; part++) {
      // RFC 3396 §5: an option above 255 bytes is cut, and the receiver joins it.
      const piece = data.subarray(part * 255, part * 255 + 255);
      bytes[off + at] = code;
      bytes[off + at + 1] = piece.length;
      bytes.set(piece, off + at + 2);
      at += 2 + piece.length;
    }
  }
  bytes[off + at] = OPT_END;
  return Math.max(at + 1, MIN_REPLY_LEN);
}

/** Bytes of an option with `len` bytes of data, in as many pieces as it takes. */
const splitLen = (len: number): number => len + 2 * Math.max(1, Math.ceil(len / 255));

/** Compression pointers hold 14 bits (RFC 1035 §4.1.4). */
const MAX_POINTER = 0x3fff;

/** Encode a search list (RFC 3397 §2), compressed: pointers lead back only, so that a shorter list is a prefix. */
export function encodeSearchList(names: readonly string[]): NameList {
  const bytes: number[] = [];
  const cuts: number[] = [];
  const known = new Map<string, number>();
  for (const name of names) {
    const labels = labelsOf(name);
    if (labels === undefined) continue;
    emitName(bytes, labels, known);
    cuts.push(bytes.length);
  }
  return { data: Uint8Array.from(bytes), cuts };
}

function emitName(bytes: number[], labels: readonly string[], known: Map<string, number>): void {
  for (const [i, label] of labels.entries()) {
    const rest = labels.slice(i).join('.').toLowerCase();
    const before = known.get(rest);
    if (before !== undefined) {
      bytes.push(0xc0 | (before >> 8), before & 0xff);
      return;
    }
    if (bytes.length <= MAX_POINTER) known.set(rest, bytes.length);
    pushLabel(bytes, label);
  }
  bytes.push(0);
}

/** Where a reply goes (RFC 2131 §4.1); `yiaddr` is sent to the client's hardware address. */
export type DhcpDestination = 'broadcast' | 'ciaddr' | 'yiaddr';

/** @param reply as written by {@link emitDhcpReply}, at byte 0 of the view */
export function replyDestination(reply: DataView): DhcpDestination {
  if (dhcpMessageType(reply) === NAK) return 'broadcast';
  if (dhcpCiaddr(reply) !== 0) return 'ciaddr';
  return dhcpBroadcast(reply) || dhcpYiaddr(reply) === 0 ? 'broadcast' : 'yiaddr';
}

/** Lower-case hexadecimal. */
export function hex(bytes: Uint8Array, separator: string): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(separator);
}
