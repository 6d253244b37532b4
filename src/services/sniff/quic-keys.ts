/** The keys of a client's Initial packets, which follow from the connection's first destination (RFC 9001 §5.2, RFC 9369 §3.3). */
import type { QuicVersion } from './quic-packet.ts';

/** Primitives that the caller has. */
export interface QuicCrypto {
  /** HMAC with SHA-256. */
  hmac(key: Uint8Array, message: Uint8Array): Uint8Array;
  /** One block of 16 bytes, by AES-128. */
  encryptBlock(key: Uint8Array, block: Uint8Array): Uint8Array;
  /**
   * AES-128-GCM.
   *
   * @param sealed ends with the tag of 16 bytes
   * @returns undefined when it is not authentic
   */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined;
}

export interface QuicKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
  /** For header protection. */
  readonly hp: Uint8Array;
}

const SALT_1 = hex('38762cf7f55934b34d179ae6a4c80cadccbb7f0a');
const SALT_2 = hex('0dede3def700a6db819381be6e269dcbf9bd2ed9');
const HASH_LEN = 32;

export function clientInitialKeys(
  crypto: QuicCrypto,
  version: QuicVersion,
  destination: Uint8Array,
): QuicKeys {
  const initial = crypto.hmac(version === 1 ? SALT_1 : SALT_2, destination); // HKDF-Extract
  const client = expandLabel(crypto, initial, 'client in', HASH_LEN);
  const prefix = version === 1 ? 'quic' : 'quicv2';
  return {
    key: expandLabel(crypto, client, `${prefix} key`, 16),
    iv: expandLabel(crypto, client, `${prefix} iv`, 12),
    hp: expandLabel(crypto, client, `${prefix} hp`, 16),
  };
}

/** HKDF-Expand-Label (RFC 8446 §7.1) without a context, of at most one hash. */
function expandLabel(
  crypto: QuicCrypto,
  secret: Uint8Array,
  label: string,
  len: number,
): Uint8Array {
  const name = Uint8Array.from(`tls13 ${label}`, (c) => c.charCodeAt(0));
  const info = Uint8Array.of(0, len, name.length, ...name, 0, 1);
  return crypto.hmac(secret, info).subarray(0, len);
}

function hex(text: string): Uint8Array {
  const pairs = text.match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}
