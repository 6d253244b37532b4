/**
 * The seam between the stack and what is above it: requests and flows go up, data and refusals come
 * down. Handlers are called from a work list at the end of a batch, never from inside segment
 * processing, so they may call any method of any flow.
 */

import type { ByteStream, ByteStreamHandler } from '../base/byte-stream.ts';
import type { IpAddress } from '../base/ip-address.ts';
import type { Run } from '../base/run.ts';
import type { Slab } from '../base/slab.ts';
import type { Instant } from '../base/time.ts';
import type { Mac } from '../wire/mac.ts';
import type { Guest } from './guest.ts';

export interface FlowId {
  readonly guest: IpAddress;
  readonly guestPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
}

/** An echo exchange: `guest` has asked `remote`. */
export interface EchoId {
  readonly guest: IpAddress;
  readonly remote: IpAddress;
  readonly identifier: number;
  readonly sequence: number;
}

export type CloseReason =
  | 'finished'
  | 'reset-by-guest'
  | 'reset-by-host'
  | 'refused'
  | 'unreachable'
  | 'timed-out'
  /** Its guest held more of a budget than any other when that ran short. */
  | 'evicted'
  | 'link-down';

/** `refused` answers with RST; `timed-out` with silence; the others with the ICMP error named. */
export type RefuseReason =
  | 'refused'
  | 'host-unreachable'
  | 'net-unreachable'
  | 'prohibited'
  | 'timed-out';

/** A guest SYN held unanswered until the host connection has succeeded or failed. */
export interface TcpRequest {
  readonly id: FlowId;
  readonly owner: Guest;
  /**
   * Complete the handshake. The flow is established once `handler.onOpen` is called; `send` may be
   * used at once. Undefined when the guest has given up in the meantime.
   */
  accept(now: Instant, handler: TcpFlowHandler): TcpFlow | undefined;
  refuse(now: Instant, reason: RefuseReason): void;
  /** Set by the proxy: called once when the guest gives up, or the request is evicted. */
  onCancelled: (() => void) | undefined;
}

/** One guest TCP connection, terminated here. Opened by the guest, or from above by `dial`. */
export interface TcpFlow extends ByteStream {
  readonly id: FlowId;
  readonly owner: Guest;
  /** The longest contiguous run of received bytes from the one at `offset` on, borrowed for the call. */
  peek(offset: number): Run;
  reserve(min: number): Uint8Array | undefined;
  fill(now: Instant, n: number): void;
  /** State and counters for people; made on demand. */
  describe(): TcpFlowInfo;
}

export interface TcpFlowInfo {
  readonly state: string;
  /** Payload bytes, guest to host and host to guest. */
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
  /** When the guest was heard last. */
  readonly lastHeard: Instant;
  readonly retransmits: number;
  /** Smoothed round-trip time to the guest in ms; 0 before the first sample. */
  readonly srttMs: number;
  readonly cwndBytes: number;
  readonly bufferedToHost: number;
  readonly bufferedToGuest: number;
}

/** `onOpen`: the handshake is complete. */
export type TcpFlowHandler = ByteStreamHandler<TcpFlow, CloseReason>;

/**
 * A received UDP datagram: one record, reused for every datagram. Nothing of it may be kept; words
 * and bytes must be copied to be used later.
 */
export interface Datagram {
  /** Nine words: guest address, remote address, and both ports; see `base/flow-key.ts`. */
  readonly key: Int32Array;
  readonly owner: Guest;
  readonly guestPort: number;
  readonly remotePort: number;
  /** Payload: `len` bytes at `off` of `slab`, borrowed for the call. */
  readonly slab: Slab;
  readonly off: number;
  readonly len: number;
  /** IPv4 TTL or IPv6 hop limit, as received. */
  readonly ttl: number;
}

/** A guest's echo request, reused like a datagram: see {@link Upstream.decidesPings}. */
export interface EchoRequest {
  readonly key: Int32Array;
  readonly owner: Guest;
  readonly identifier: number;
  readonly sequence: number;
  /** The data after the echo header. */
  readonly slab: Slab;
  readonly off: number;
  readonly len: number;
  readonly ttl: number;
}

/** What the stack needs of the layer above it. Implemented by the proxy. */
export interface Upstream {
  onTcpRequest(now: Instant, request: TcpRequest): void;
  onDatagram(now: Instant, datagram: Datagram): void;
  /** Of an address that is not the gateway's own; of those too where it {@link decidesPings}. */
  onEcho(now: Instant, request: EchoRequest): void;
  /** Whether it answers pings of the gateway, or refuses them. Absent: the stack answers them. */
  decidesPings?(): boolean;
  /**
   * A guest says that nobody takes a datagram that was sent to it.
   *
   * @param owner whoever says so
   * @param key of the datagram, as in {@link Datagram.key}: the guest is the one that it was sent to
   * @param len payload at `off` of `slab`, borrowed for the call; -1 where the message holds less than all of it
   */
  onDatagramRefused?(
    now: Instant,
    owner: Guest,
    key: Int32Array,
    slab: Slab,
    off: number,
    len: number,
  ): void;
  /** A guest was heard at `address`: for the first time, by another link or with another Ethernet address. */
  onGuestHeard?(now: Instant, address: IpAddress, mac: Mac): void;
  /** The link of the guest at `address` is gone for good, and its connections have ended: so must all else of that address. */
  onAddressGone?(now: Instant, owner: Guest, address: IpAddress): void;
  /** The guest's link has been gone for the grace: what it has beside its addresses must end. */
  onGuestGone?(now: Instant, owner: Guest): void;
}

/** An error the network reported, to be passed on to the guest as ICMP. Codes are ICMPv4's. */
export type NetworkError =
  | 'net-unreachable'
  | 'host-unreachable'
  | 'port-unreachable'
  | 'prohibited'
  | 'ttl-exceeded';

/** What the proxy needs of the stack. */
export interface Downstream {
  /** Whose address it is: the guest that was heard with it last. */
  ownerOf(guest: IpAddress): Guest;
  /** Whether it was heard with this address, and its link is up. */
  isThere(guest: IpAddress): boolean;
  /**
   * Open a connection to the guest at `id.guest`; `id.remote` is the source it will see.
   *
   * @returns undefined when the flow exists already, the table is full, or the guest is not there
   */
  dial(now: Instant, id: FlowId, handler: TcpFlowHandler): TcpFlow | undefined;
  /**
   * Send a datagram to a guest, fragmented where the MTU asks for it.
   *
   * @param id `remote` is the source
   * @returns false when it was dropped and counted: unknown guest, link not draining
   */
  sendDatagram(now: Instant, id: FlowId, bytes: Uint8Array, off: number, len: number): boolean;
  /**
   * Send the echo reply of `id.remote`.
   *
   * @param id borrowed for the call
   * @returns false when it was dropped and counted
   */
  sendEchoReply(now: Instant, id: EchoId, bytes: Uint8Array, off: number, len: number): boolean;
  /**
   * Report an ICMP error about a UDP datagram of `id.guest` to `id.remote`.
   *
   * @param from the router or host that reported it
   * @param payloadLen UDP payload bytes of the datagram in question
   */
  sendUdpError(
    now: Instant,
    id: FlowId,
    error: NetworkError,
    from: IpAddress,
    payloadLen: number,
  ): void;
  /**
   * Report an ICMP error about an echo request.
   *
   * @param id borrowed for the call
   * @param from the router or host that reported it
   */
  sendEchoError(now: Instant, id: EchoId, error: NetworkError, from: IpAddress): void;
  /** Hand everything queued on every link to the operating system. */
  flush(): void;
}
