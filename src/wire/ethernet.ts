/** Ethernet II header: destination, source, type, with VLAN tags (IEEE 802.1Q) before the type. No FCS. */

const DST = 0;
const SRC = 6;
const TYPE = 12;

export const ETHERNET_HEADER_LEN = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
/** A customer's tag, and a provider's before it. */
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_PROVIDER_VLAN = 0x88a8;
export const VLAN_TAG_LEN = 4;
export const MAX_VLAN_TAGS = 2;

/** Offsets of the two addresses, for `readMac` and `writeMac`. */
export const ETHERNET_DST: number = DST;
export const ETHERNET_SRC: number = SRC;

export const etherType = (view: DataView, off: number): number => view.getUint16(off + TYPE);
export const setEtherType = (view: DataView, off: number, type: number): void =>
  view.setUint16(off + TYPE, type);

/**
 * @param len bytes of the frame
 * @returns offset of what follows the type, behind at most two tags; -1 when the frame ends before
 */
export function skipVlanTags(view: DataView, off: number, len: number): number {
  let l3 = off + ETHERNET_HEADER_LEN;
  for (let tags = 0; l3 <= off + len; tags++) {
    const type = view.getUint16(l3 - 2);
    const tagged = type === ETHERTYPE_VLAN || type === ETHERTYPE_PROVIDER_VLAN;
    if (!tagged || tags === MAX_VLAN_TAGS) return l3;
    l3 += VLAN_TAG_LEN;
  }
  return -1;
}
