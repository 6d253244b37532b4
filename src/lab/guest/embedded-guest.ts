/**
 * The demo's guest as its steps see it, whatever it is made of. In the order of preference:
 *
 * | kind | what |
 * |---|---|
 * | `tap` | a kernel in a network namespace, attached by a TAP: needs root and /dev/net/tun |
 * | `packet` | a kernel in a user and network namespace, attached by a packet socket: needs no root |
 * | `simulated` | a second stack in this process, where neither is allowed |
 */

import type { LinkAcceptor } from '../../stack/link.ts';

/** The part of a running network that a guest without a link specification attaches to. */
export interface GuestAcceptor {
  /** Serve a guest behind a packet socket with virtio-net headers; `fd` belongs to the network. */
  attachPacketSocket(fd: number, description: string): void;
  /** Join `guest`, a segment in this process, by a link in memory. */
  attachSegment(guest: LinkAcceptor, description: string): void;
}

export interface LeaseInfo {
  readonly address: string;
  readonly prefixLen: number;
  readonly router: string;
  readonly dns: string;
  /** 0 when the lease has none. */
  readonly mtu: number;
  /** The DHCP client that got it, for people. */
  readonly client: string;
}

export interface Transfer {
  readonly bytes: number;
  readonly sha256: string;
  /** From the connection's first byte to its last. */
  readonly ms: number;
}

/** @param bytes so far */
export type OnProgress = (bytes: number) => void;

export interface EmbeddedGuest {
  readonly kind: 'tap' | 'packet' | 'simulated';
  /** One line for people. */
  readonly about: string;
  /**
   * What the network listens on for this guest: an entry of `NetworkOptions.listen`. Undefined for a
   * guest that {@link attach} brings to the network.
   */
  readonly link: string | undefined;
  /** Called once, when the network runs. */
  attach(network: GuestAcceptor): void;
  /** Each rejects with {@link GuestError}, or with `LeftOutError` where it cannot be tried. They are called one after another, `lease` first. */
  lease(): Promise<LeaseInfo>;
  /** Ask the lease's DNS server for an A record. */
  resolve(name: string): Promise<string>;
  /**
   * @param gateway of the network
   * @returns the guest's own address there, when it may be used
   */
  ipv6Address(gateway: string): Promise<string>;
  /** Ask a DNS server, an IPv6 address, for an AAAA record. */
  resolveIpv6(name: string, server: string): Promise<string>;
  /** @returns the mean round-trip time in ms */
  ping(address: string): Promise<number>;
  download(url: string, onProgress: OnProgress): Promise<Transfer>;
  /** @returns what the server says it got */
  upload(url: string, seed: number, sizeBytes: number, onProgress: OnProgress): Promise<Transfer>;
  /** Start the file server of `file-server.ts` in the guest. @returns its TCP port, on every address */
  serve(): Promise<number>;
  /**
   * Start the guest's end of the multiplexer, for a link `guest:PORT`.
   *
   * @returns who it is, for people
   */
  startAgent(port: number): Promise<string>;
  /** Stop every process of the guest and remove it. Idempotent. */
  close(): Promise<void>;
}

/** A step of the guest failed. The message says which program said what. */
export class GuestError extends Error {
  readonly code = 'ERR_HAWSER_GUEST';
}

/** This kind of guest cannot be had on this machine. */
export class GuestUnavailableError extends Error {
  readonly code = 'ERR_HAWSER_GUEST_UNAVAILABLE';
}
