/** Ethernet addresses beside those of `address-key.ts`: behind a word that begins no unicast IPv6 address. */
import type { Mac } from '../../wire/mac.ts';

const ETHERNET_MARK = -1;

export function setEthernetKey(key: Int32Array, mac: Mac): void {
  key[0] = ETHERNET_MARK;
  key[1] = 0;
  key[2] = Math.floor(mac / 0x1_0000_0000);
  key[3] = mac | 0;
}
