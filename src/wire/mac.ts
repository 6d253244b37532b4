/**
 * Ethernet addresses as one number: 48 bits, exact in a double. They are compared, used as map keys
 * and written; nothing else.
 */
export type Mac = number;

export const BROADCAST_MAC: Mac = 0xffff_ffff_ffff;

export const readMac = (view: DataView, off: number): Mac =>
  view.getUint16(off) * 0x1_0000_0000 + view.getUint32(off + 2);

export function writeMac(view: DataView, off: number, mac: Mac): void {
  view.setUint16(off, Math.floor(mac / 0x1_0000_0000));
  view.setUint32(off + 2, mac % 0x1_0000_0000);
}

/** Whether frames to `mac` are for several stations (IEEE 802: the group bit). */
export const isGroupMac = (mac: Mac): boolean => (Math.floor(mac / 0x100_0000_0000) & 1) === 1;

/** Of its text with colons. */
export const macOf = (text: string): Mac => Number.parseInt(text.replaceAll(':', ''), 16);

export const formatMac = (mac: Mac): string =>
  mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?!$)/g, '$&:');
