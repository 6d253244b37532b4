/** The primitives for reading Initial packets of QUIC. */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import type { QuicCrypto } from '../../services/sniff/quic-keys.ts';

const TAG_LEN = 16;

export const quicCrypto: QuicCrypto = {
  hmac: (key, message) => createHmac('sha256', key).update(message).digest(),
  encryptBlock: (key, block) =>
    createCipheriv('aes-128-ecb', key, null).setAutoPadding(false).update(block),
  open: (key, nonce, associated, sealed) => {
    const end = sealed.length - TAG_LEN;
    if (end < 0) return undefined;
    const decipher = createDecipheriv('aes-128-gcm', key, nonce);
    decipher.setAAD(associated).setAuthTag(sealed.subarray(end));
    const opened = decipher.update(sealed.subarray(0, end));
    try {
      decipher.final();
      return opened;
    } catch {
      return undefined;
    }
  },
};
