/**
 * What a client says in datagrams about where it wants to go: the server name in the Initial packets of QUIC, versions 1
 * and 2. Every datagram of a flow is looked at, as a client may begin another connection on the same ports at any time; one
 * that is no Initial costs a look at its first byte.
 *
 * A connection's datagrams are held until its hello is whole and allowed. The owner keeps those, and bounds them.
 */
import { QuicConnection } from './quic-connection.ts';
import type { QuicCrypto } from './quic-keys.ts';
import {
  isLong,
  isUnreadableVersion,
  type LongPacket,
  quicVersion,
  readLongPacket,
} from './quic-packet.ts';
import { MAX_HELD, type OnClaim, type Unreadable } from './reader.ts';

/**
 * - `pass`: the datagram may go on, behind all that are held.
 * - `hold`: it may not yet.
 * - others: it may not, nor may those that are held. `refused`: the claim was, and so is everything from now on.
 */
export type DatagramInspection = 'pass' | 'hold' | 'refused' | Unreadable;

/** Connections begun on one flow. */
const MAX_CONNECTIONS = 4;
/** In a datagram: each costs the opening of it. */
const MAX_INITIALS = 4;
/** Of one connection: a client sends a few, and those again that get no answer. */
const MAX_OPENED = 64;
/** Datagrams that cannot be read, before no more are tried. */
const MAX_FAULTS = 8;

export class DatagramInspector {
  private readonly crypto: QuicCrypto;
  private readonly onClaim: OnClaim;
  /** Nothing but QUIC is expected: what cannot be read is not let through. */
  private readonly isQuicOnly: boolean;
  private readonly connections: QuicConnection[] = [];
  private faults = 0;
  private last: DatagramInspection = 'pass';

  constructor(crypto: QuicCrypto, isQuicOnly: boolean, onClaim: OnClaim) {
    this.crypto = crypto;
    this.isQuicOnly = isQuicOnly;
    this.onClaim = onClaim;
  }

  push(bytes: Uint8Array, from: number, to: number): DatagramInspection {
    if (this.last === 'refused' || this.faults >= MAX_FAULTS) return this.last;
    const fault = this.read(bytes, from, to);
    if (fault === undefined) return this.isPending ? 'hold' : 'pass';
    this.faults++;
    this.last = fault;
    return fault;
  }

  private get isPending(): boolean {
    return this.connections.some(({ isPending }) => isPending);
  }

  /** Bytes that hellos may still take: all connections of a flow together have what one may have. */
  private get room(): number {
    return this.connections.reduce((room, { capacity }) => room - capacity, MAX_HELD);
  }

  private read(bytes: Uint8Array, from: number, to: number): 'refused' | Unreadable | undefined {
    if (quicVersion(bytes, from, to) === undefined) return this.readOther(bytes, from, to);
    let initials = 0;
    let at = from;
    while (at < to && isLong(bytes[at] ?? 0)) {
      const packet = readLongPacket(bytes, at, to);
      if (packet === undefined) return 'quic-malformed';
      at = packet.to;
      if (!packet.isInitial) continue;
      initials++;
      if (initials > MAX_INITIALS) return 'quic-malformed';
      const fault = this.readInitial(bytes, packet);
      if (fault !== undefined) return fault;
    }
    return this.connections.length === 0 ? 'quic-unreadable' : undefined;
  }

  /** Not a long header of a version that is known. */
  private readOther(bytes: Uint8Array, from: number, to: number): Unreadable | undefined {
    if (isUnreadableVersion(bytes, from, to)) return 'quic-unreadable';
    const isOfConnection = this.connections.length > 0 && !isLong(bytes[from] ?? 0);
    return this.isQuicOnly && !isOfConnection ? 'quic-unreadable' : undefined;
  }

  /** No more are tried. */
  private fail(fault: Unreadable): Unreadable {
    this.faults = MAX_FAULTS;
    return fault;
  }

  private readInitial(bytes: Uint8Array, packet: LongPacket): 'refused' | Unreadable | undefined {
    for (const connection of this.connections) {
      const opened = connection.open(bytes, packet);
      if (opened === undefined) continue;
      if (connection.opened > MAX_OPENED) return this.fail('quic-malformed');
      return connection.read(opened.payload, this.onClaim);
    }
    if (this.connections.length >= MAX_CONNECTIONS) return 'quic-unreadable';
    const connection = new QuicConnection(this.crypto, packet.destination, this.room);
    const opened = connection.open(bytes, packet);
    if (opened === undefined) return 'quic-unreadable';
    this.connections.push(connection);
    return connection.read(opened.payload, this.onClaim);
  }
}
