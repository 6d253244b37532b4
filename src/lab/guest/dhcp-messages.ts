/** The client's side of DHCP (RFC 2131 §4.4): the two messages it sends, and what it reads of answers. */
import { formatIpv4 } from '../../base/ip-address.ts';
import {
  ACK,
  DISCOVER,
  dhcpMessageType,
  dhcpOption,
  dhcpUint32,
  dhcpYiaddr,
  NAK,
  OFFER,
  OPT_DNS,
  OPT_END,
  OPT_MESSAGE_TYPE,
  OPT_MTU,
  OPT_PARAMETER_LIST,
  OPT_REQUESTED_IP,
  OPT_ROUTER,
  OPT_SERVER_ID,
  OPT_SUBNET_MASK,
  REQUEST,
} from '../../wire/dhcp.ts';
import { type Mac, writeMac } from '../../wire/mac.ts';

const XID = 4;
const FLAGS = 10;
const CHADDR = 28;
const COOKIE = 236;
const OPTIONS = 240;
const MAGIC_COOKIE = 0x6382_5363;
/** BOOTREQUEST, Ethernet, six bytes of hardware address. */
const START = [1, 1, 6] as const;
const BROADCAST = 0x8000;

export interface DhcpAnswer {
  readonly type: 'offer' | 'ack' | 'nak';
  /** Words, network order; -1 where the answer has none. */
  readonly address: number;
  readonly server: number;
  readonly mask: number;
  readonly router: number;
  readonly dns: number;
  /** 0 without option 26. */
  readonly mtu: number;
}

/** @param offer what a server offered: this asks for it (REQUEST); without one, for offers (DISCOVER) */
export function dhcpRequest(xid: number, mac: Mac, offer: DhcpAnswer | undefined): Uint8Array {
  const options: number[] = [OPT_MESSAGE_TYPE, 1, offer === undefined ? DISCOVER : REQUEST];
  options.push(OPT_PARAMETER_LIST, 4, OPT_SUBNET_MASK, OPT_ROUTER, OPT_DNS, OPT_MTU);
  if (offer !== undefined) {
    options.push(OPT_REQUESTED_IP, 4, ...octets(offer.address));
    options.push(OPT_SERVER_ID, 4, ...octets(offer.server));
  }
  options.push(OPT_END);
  const bytes = new Uint8Array(OPTIONS + options.length);
  const view = new DataView(bytes.buffer);
  bytes.set(START);
  view.setInt32(XID, xid);
  view.setUint16(FLAGS, BROADCAST); // there is no address yet to answer to
  writeMac(view, CHADDR, mac);
  view.setUint32(COOKIE, MAGIC_COOKIE);
  bytes.set(options, OPTIONS);
  return bytes;
}

/** @returns undefined for what is no answer to `xid` */
export function readDhcpAnswer(message: DataView, xid: number): DhcpAnswer | undefined {
  if (message.byteLength < OPTIONS || message.getInt32(XID) !== xid) return undefined;
  const type = TYPES.get(dhcpMessageType(message));
  if (type === undefined) return undefined;
  const mtu = dhcpOption(message, OPT_MTU);
  return {
    type,
    address: dhcpYiaddr(message),
    server: firstAddress(message, OPT_SERVER_ID),
    mask: firstAddress(message, OPT_SUBNET_MASK),
    router: firstAddress(message, OPT_ROUTER),
    dns: firstAddress(message, OPT_DNS),
    mtu: mtu?.length === 2 ? ((mtu[0] ?? 0) << 8) | (mtu[1] ?? 0) : 0,
  };
}

const TYPES: ReadonlyMap<number, DhcpAnswer['type']> = new Map([
  [OFFER, 'offer'],
  [ACK, 'ack'],
  [NAK, 'nak'],
]);

function firstAddress(message: DataView, code: number): number {
  const option = dhcpOption(message, code);
  return option !== undefined && option.length >= 4 ? dhcpUint32(option.subarray(0, 4)) | 0 : -1;
}

const octets = (word: number): number[] => formatIpv4(word).split('.').map(Number);
