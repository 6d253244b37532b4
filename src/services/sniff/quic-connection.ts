/** A connection that a client is opening: its Initial packets, opened with the keys of its first destination. */
import { readClientHello } from './client-hello.ts';
import { CryptoStream } from './crypto-stream.ts';
import { cryptoFrames, type OpenedPacket, openInitial } from './quic-initial.ts';
import { clientInitialKeys, type QuicCrypto, type QuicKeys } from './quic-keys.ts';
import type { LongPacket, QuicVersion } from './quic-packet.ts';
import type { OnClaim } from './reader.ts';

const CLIENT_HELLO = 1;
const MESSAGE_HEADER_LEN = 4;

export type QuicFault = 'refused' | 'quic-malformed' | 'quic-too-long';

export class QuicConnection {
  private readonly crypto: QuicCrypto;
  private readonly destination: Uint8Array;
  /** A server may go on in another version (RFC 9368), with keys of the same destination. */
  private readonly keys = new Map<QuicVersion, QuicKeys>();
  private readonly stream: CryptoStream;
  private largest = -1;
  /** Packets opened. */
  opened = 0;
  /** Where the next message begins; a server may have the client say hello again. */
  private messageAt = 0;

  /** @param limit bytes that its hellos may take */
  constructor(crypto: QuicCrypto, destination: Uint8Array, limit: number) {
    this.stream = new CryptoStream(limit);
    this.crypto = crypto;
    this.destination = new Uint8Array(destination);
  }

  /** Bytes of memory for its hellos. */
  get capacity(): number {
    return this.stream.capacity;
  }

  /** Whether a hello is to come, or is not whole. */
  get isPending(): boolean {
    return this.messageAt === 0 || this.stream.end > this.messageAt;
  }

  /** @returns undefined when it is not of this connection */
  open(bytes: Uint8Array, packet: LongPacket): OpenedPacket | undefined {
    const opened = openInitial(
      this.crypto,
      this.keysOf(packet.version),
      bytes,
      packet,
      this.largest,
    );
    if (opened === undefined) return undefined;
    this.largest = Math.max(this.largest, opened.number);
    this.opened++;
    return opened;
  }

  read(payload: Uint8Array, onClaim: OnClaim): QuicFault | undefined {
    const frames = cryptoFrames(payload);
    if (frames === undefined) return 'quic-malformed';
    for (const frame of frames) {
      const fault = this.stream.add(frame);
      if (fault !== undefined) return fault === 'too-long' ? 'quic-too-long' : 'quic-malformed';
    }
    return this.readMessages(onClaim);
  }

  private readMessages(onClaim: OnClaim): QuicFault | undefined {
    for (;;) {
      const bytes = this.stream.bytesFrom(this.messageAt);
      const [type, high = 0, middle = 0, low = 0] = bytes;
      if (type === undefined) return undefined;
      if (type !== CLIENT_HELLO) return 'quic-malformed';
      const end = MESSAGE_HEADER_LEN + ((high << 16) | (middle << 8) | low);
      if (bytes.length < MESSAGE_HEADER_LEN || bytes.length < end) return undefined;
      const hello = readClientHello(bytes.subarray(MESSAGE_HEADER_LEN, end));
      if (hello === undefined) return 'quic-malformed';
      if (!onClaim({ by: 'quic', name: hello.serverName, hello })) return 'refused';
      this.messageAt += end;
      if (!this.isPending) this.stream.trim();
    }
  }

  private keysOf(version: QuicVersion): QuicKeys {
    const known = this.keys.get(version);
    if (known !== undefined) return known;
    const keys = clientInitialKeys(this.crypto, version, this.destination);
    this.keys.set(version, keys);
    return keys;
  }
}
