/**
 * The key of a flow: nine int32 words, both families alike (see `ip-address.ts`).
 *
 * | words | what |
 * |---|---|
 * | 0..3 | guest address |
 * | 4..7 | remote address |
 * | 8 | guest port << 16, remote port |
 */
import { addressFromWords, type IpAddress } from './ip-address.ts';

export const KEY_WORDS = 9;
export const KEY_GUEST = 0;
export const KEY_REMOTE = 4;
const KEY_PORTS = 8;

export const makeKey = (): Int32Array => new Int32Array(KEY_WORDS);

export function setKeyAddress(key: Int32Array, at: number, address: IpAddress): void {
  key[at] = address.a;
  key[at + 1] = address.b;
  key[at + 2] = address.c;
  key[at + 3] = address.d;
}

export function setKeyPorts(key: Int32Array, guestPort: number, remotePort: number): void {
  key[KEY_PORTS] = (guestPort << 16) | remotePort;
}

export const keyGuest = (key: Int32Array): IpAddress => addressFromWords(key, KEY_GUEST);
export const keyRemote = (key: Int32Array): IpAddress => addressFromWords(key, KEY_REMOTE);
export const keyGuestPort = (key: Int32Array): number => (key[KEY_PORTS] ?? 0) >>> 16;
export const keyRemotePort = (key: Int32Array): number => (key[KEY_PORTS] ?? 0) & 0xffff;
