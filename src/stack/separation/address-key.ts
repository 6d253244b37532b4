/**
 * Addresses of every kind as four words, for one table of them all: IPv6 as it is, IPv4 as its v4-mapped form; Ethernet in
 * `ethernet-key.ts`.
 */
import { V4_MAPPED } from '../../base/ip-address.ts';
import { IPV6_SRC } from '../../wire/ipv6.ts';

/** Ethernet addresses; IPv4 addresses of the subnet, which are few; all others. */
export type AddressKind = 'ethernet' | 'subnet' | 'other';

export function setIpv4Key(key: Int32Array, word: number): void {
  key[0] = 0;
  key[1] = 0;
  key[2] = V4_MAPPED;
  key[3] = word;
}

/** @param at of an address in a packet */
export function readIpv6Key(key: Int32Array, view: DataView, at: number): void {
  key[0] = view.getInt32(at);
  key[1] = view.getInt32(at + 4);
  key[2] = view.getInt32(at + 8);
  key[3] = view.getInt32(at + 12);
}

/** @param at of an address in a packet */
export const isUnspecifiedIpv6 = (view: DataView, at: number): boolean =>
  (view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8) | view.getInt32(at + 12)) ===
  0;

/** The source of an IPv6 packet. */
export const readIpv6Source = (key: Int32Array, view: DataView, l3: number): void =>
  readIpv6Key(key, view, l3 + IPV6_SRC);
