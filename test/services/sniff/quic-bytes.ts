/** Initial packets as a client makes them. */
import { createCipheriv } from 'node:crypto';
import { quicCrypto } from '../../../src/proxy/inspect/quic-crypto.ts';
import { clientInitialKeys } from '../../../src/services/sniff/quic-keys.ts';
import type { QuicVersion } from '../../../src/services/sniff/quic-packet.ts';

const TAG_LEN = 16;

export interface InitialShape {
  readonly version?: QuicVersion;
  /** Of the keys. */
  readonly destination: Uint8Array;
  /** Of the header, where it is another. */
  readonly to?: Uint8Array;
  readonly number: number;
  readonly frames: Uint8Array;
  /** Bytes of the packet; frames are padded to that. */
  readonly size?: number;
  readonly token?: Uint8Array;
}

export function varint(value: number): number[] {
  if (value < 0x40) return [value];
  return [0x40 | (value >>> 8), value & 0xff];
}

export const cryptoFrame = (offset: number, bytes: Uint8Array): Uint8Array =>
  Uint8Array.from([6, ...varint(offset), ...varint(bytes.length), ...bytes]);

/** Packet numbers take four bytes. */
export function initialPacket(shape: InitialShape): Uint8Array {
  const { version = 1, destination, number, frames, size = 1200 } = shape;
  const to = shape.to ?? destination;
  const token = shape.token ?? new Uint8Array(0);
  const first = version === 1 ? 0xc3 : 0xd3;
  const versionBytes = version === 1 ? [0, 0, 0, 1] : [0x6b, 0x33, 0x43, 0xcf];
  const start = [first, ...versionBytes, to.length, ...to, 0, ...varint(token.length), ...token];
  const payload = new Uint8Array(Math.max(frames.length, size - start.length - 2 - 4 - TAG_LEN));
  payload.set(frames);
  const left = 4 + payload.length + TAG_LEN;
  const numberBytes = [number >>> 24, (number >>> 16) & 0xff, (number >>> 8) & 0xff, number & 0xff];
  const header = Uint8Array.from([...start, 0x40 | (left >>> 8), left & 0xff, ...numberBytes]);
  const keys = clientInitialKeys(quicCrypto, version, destination);
  const nonce = new Uint8Array(keys.iv);
  numberBytes.forEach((byte, i) => {
    nonce[8 + i] = (nonce[8 + i] ?? 0) ^ byte;
  });
  const cipher = createCipheriv('aes-128-gcm', keys.key, nonce).setAAD(header);
  const sealed = Buffer.concat([cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
  const mask = quicCrypto.encryptBlock(keys.hp, sealed.subarray(0, 16));
  header[0] = (header[0] ?? 0) ^ ((mask[0] ?? 0) & 0x0f);
  for (let i = 0; i < 4; i++) {
    const at = header.length - 4 + i;
    header[at] = (header[at] ?? 0) ^ (mask[1 + i] ?? 0);
  }
  return Uint8Array.from([...header, ...sealed]);
}
