/**
 * UDP from a socket of the guest to the container: one connected socket per client, so that the container
 * can distinguish clients and only its answers come back. A client is dropped after the idle time of
 * Docker's own proxy, or when there are too many, the one idle longest first.
 */
import { Buffer } from 'node:buffer';
import { once } from '../../base/once.ts';
import { loadPosix } from '../../native/load.ts';
import type { Posix } from '../../native/posix.ts';
import { type ConnectedEvents, ConnectedSocket } from '../../proxy/udp/connected-socket.ts';
import { Outboxes } from '../../proxy/udp/outbox.ts';
import { SendPool, type SendSlot } from '../../proxy/udp/send-pool.ts';
import {
  adoptUdpFront,
  type FrontOwner,
  type FrontPeer,
  openUdpFront,
} from '../../proxy/udp/udp-front.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { Admits, Endpoint, ListenAt, Listening } from './listening.ts';

const IDLE_MS = 90_000;
const SWEEPS = 9;
const CLIENTS_MAX = 4_096;

/** Bytes queued for the kernel. */
const IN_FLIGHT_MAX = 4 << 20;

export function forwardUdp(
  at: ListenAt,
  container: Endpoint,
  admits: Admits = () => true,
  idleMs: number = IDLE_MS,
): Listening {
  const address = parseAddress(at.address);
  if (address === undefined) throw new Error(`${at.address} is not an IP address`);
  const native = new FrontNative();
  const outboxes = new Outboxes(() => native.posix?.makeDatagramBatch());
  const deps = { outboxes, native, reader: () => native.posix?.makeDatagramReader() };
  const forwarder = new UdpForwarder(container, admits, outboxes, idleMs);
  const front =
    at.fd === undefined
      ? openUdpFront(address, at.port, deps, forwarder)
      : adoptUdpFront(at.fd, address, at.port, deps, forwarder);
  if (typeof front === 'string') {
    forwarder.close();
    throw Object.assign(new Error(`bind ${front} ${at.address}:${at.port}`), { code: front });
  }
  const close = (): void => {
    forwarder.close();
    front.close();
  };
  return { port: front.port, close };
}

/** Loaded for a wildcard only. */
class FrontNative {
  get posix(): Posix | undefined {
    return this.load();
  }

  private readonly load = once((): Posix | undefined => {
    try {
      return loadPosix('answer from the address that was asked');
    } catch {
      return undefined; // a socket for each address then
    }
  });
}

class UdpForwarder implements FrontOwner {
  private readonly container: Endpoint;
  private readonly admits: Admits;
  private readonly outboxes: Outboxes;
  private readonly pool = new SendPool(IN_FLIGHT_MAX);
  /** The one idle longest is the first. */
  private readonly clients = new Map<string, Client>();
  private readonly sweeper: NodeJS.Timeout;
  private readonly idleMs: number;

  constructor(container: Endpoint, admits: Admits, outboxes: Outboxes, idleMs: number) {
    this.idleMs = idleMs;
    this.container = container;
    this.admits = admits;
    this.outboxes = outboxes;
    this.sweeper = setInterval(() => this.sweep(), idleMs / SWEEPS);
    this.sweeper.unref();
  }

  onMessage(key: string, bytes: Uint8Array, off: number, len: number, peer: () => FrontPeer): void {
    const client = this.clients.get(key) ?? this.admit(key, peer());
    if (client === undefined) return;
    this.renew(key, client);
    client.send(Buffer.from(bytes.subarray(off, off + len)));
  }

  /** An ICMP error of one client does not concern the others. */
  onReceiveError(): void {}

  onFault(key: string): void {
    const client = this.clients.get(key);
    if (client !== undefined) this.forget(key, client);
  }

  onSent(slot: SendSlot): void {
    this.pool.give(slot);
  }

  onInterrupted(): void {}

  close(): void {
    clearInterval(this.sweeper);
    for (const client of this.clients.values()) client.close();
    this.clients.clear();
  }

  private answer({ target, outbox }: FrontPeer, bytes: Buffer): void {
    const slot = this.pool.take(bytes.length, target);
    if (slot === undefined) return;
    slot.bytes.set(bytes);
    outbox.add(slot);
    this.outboxes.flush();
  }

  private admit(key: string, peer: FrontPeer): Client | undefined {
    if (!this.admits(peer.address)) return undefined;
    if (this.clients.size >= CLIENTS_MAX) {
      for (const [oldest, client] of this.clients) {
        this.forget(oldest, client);
        break;
      }
    }
    const client = new Client(this.container, {
      onMessage: (bytes) => {
        client.usedAtMs = performance.now();
        this.renew(key, client);
        this.answer(peer, bytes);
      },
      onFailure: (code) => {
        // Refused: the container may listen later. Else the host's network or its address has gone, and the
        // next datagram gets a socket of its own.
        if (code !== 'ECONNREFUSED') this.forget(key, client);
      },
    });
    return client;
  }

  /** Either side has sent. */
  private renew(key: string, client: Client): void {
    this.clients.delete(key);
    this.clients.set(key, client);
  }

  private sweep(): void {
    const before = performance.now() - this.idleMs;
    for (const [key, client] of this.clients) {
      if (client.usedAtMs < before) this.forget(key, client);
    }
  }

  private forget(key: string, client: Client): void {
    if (this.clients.get(key) === client) this.clients.delete(key);
    client.close();
  }
}

class Client {
  usedAtMs: number;
  private readonly socket: ConnectedSocket;

  constructor(container: Endpoint, events: ConnectedEvents) {
    this.usedAtMs = performance.now();
    this.socket = new ConnectedSocket(container.address, container.port, events);
  }

  send(bytes: Buffer): void {
    this.usedAtMs = performance.now();
    this.socket.send(bytes);
  }

  close(): void {
    this.socket.close();
  }
}
