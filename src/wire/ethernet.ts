/** Ethernet II header: destination, source, type. No FCS, no VLAN tags. */

const DST = 0;
const SRC = 6;
const TYPE = 12;

export const ETHERNET_HEADER_LEN = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;

/** Offsets of the two addresses, for `readMac` and `writeMac`. */
export const ETHERNET_DST: number = DST;
export const ETHERNET_SRC: number = SRC;

export const etherType = (view: DataView, off: number): number => view.getUint16(off + TYPE);
export const setEtherType = (view: DataView, off: number, type: number): void =>
  view.setUint16(off + TYPE, type);
