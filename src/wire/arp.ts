/** ARP for IPv4 over Ethernet (RFC 826). Offsets are from the first byte of the packet. */
import { type Mac, readMac, writeMac } from './mac.ts';

const HARDWARE = 0;
const PROTOCOL = 2;
const LENGTHS = 4;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;

export const ARP_LEN = 28;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

export type ArpDrop = 'arp-truncated' | 'arp-not-ipv4-over-ethernet' | 'arp-bad-operation';

export function checkArp(view: DataView, off: number, avail: number): ArpDrop | undefined {
  if (avail < ARP_LEN) return 'arp-truncated';
  if (
    view.getUint16(off + HARDWARE) !== 1 ||
    view.getUint16(off + PROTOCOL) !== 0x0800 ||
    view.getUint16(off + LENGTHS) !== 0x0604
  ) {
    return 'arp-not-ipv4-over-ethernet';
  }
  const operation = arpOperation(view, off);
  return operation === ARP_REQUEST || operation === ARP_REPLY ? undefined : 'arp-bad-operation';
}

export const arpOperation = (view: DataView, off: number): number =>
  view.getUint16(off + OPERATION);
export const arpSenderMac = (view: DataView, off: number): Mac => readMac(view, off + SENDER_MAC);
/** int32, as every IPv4 word. */
export const arpSenderIp = (view: DataView, off: number): number => view.getInt32(off + SENDER_IP);
export const arpTargetIp = (view: DataView, off: number): number => view.getInt32(off + TARGET_IP);

/** What {@link emitArp} writes; one record, filled anew for each packet. */
export class ArpFields {
  operation: number = ARP_REQUEST;
  senderMac: Mac = 0;
  /** IPv4 words. */
  senderIp = 0;
  targetMac: Mac = 0;
  targetIp = 0;
}

export function emitArp(view: DataView, off: number, fields: Readonly<ArpFields>): void {
  view.setUint16(off + HARDWARE, 1);
  view.setUint16(off + PROTOCOL, 0x0800);
  view.setUint16(off + LENGTHS, 0x0604);
  view.setUint16(off + OPERATION, fields.operation);
  writeMac(view, off + SENDER_MAC, fields.senderMac);
  view.setInt32(off + SENDER_IP, fields.senderIp);
  writeMac(view, off + TARGET_MAC, fields.targetMac);
  view.setInt32(off + TARGET_IP, fields.targetIp);
}
