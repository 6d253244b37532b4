/**
 * UDP from a socket of the guest to the container: a connected socket a client, so that the container
 * can tell clients apart and only its answers come back. A client is forgotten after it was idle for as
 * long as Docker's own proxy remembers it, or when there are too many, the one idle longest first.
 */
import type { Buffer } from 'node:buffer';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Admits, Endpoint, ListenAt, Listening } from './listening.ts';

const IDLE_MS = 90_000;
const SWEEP_MS = 10_000;
const CLIENTS_MAX = 4_096;
/** Datagrams kept for a client until its socket is connected. */
const EARLY_MAX = 16;

const typeFor = (address: string): 'udp4' | 'udp6' => (isIPv6(address) ? 'udp6' : 'udp4');

export async function forwardUdp(
  at: ListenAt,
  container: Endpoint,
  admits: Admits = () => true,
): Promise<Listening> {
  const type = typeFor(at.address);
  const front = createSocket(type === 'udp6' ? { type, ipv6Only: true } : { type });
  await new Promise<void>((resolve, reject) => {
    front.once('error', reject);
    const bound = (): void => {
      front.off('error', reject);
      resolve();
    };
    if (at.fd !== undefined) front.bind({ fd: at.fd }, bound);
    else front.bind({ address: at.address, port: at.port, exclusive: true }, bound);
  });
  front.on('error', () => {}); // an ICMP error of one client is none of the others' business
  const forwarder = new UdpForwarder(front, container);
  front.on('message', (bytes, peer) => {
    if (admits(peer.address)) forwarder.toContainer(bytes, peer);
  });
  return { port: front.address().port, close: () => forwarder.close() };
}

class UdpForwarder {
  private readonly front: Socket;
  private readonly container: Endpoint;
  /** The one idle longest is the first. */
  private readonly clients = new Map<string, Client>();
  private readonly sweeper: NodeJS.Timeout;

  constructor(front: Socket, container: Endpoint) {
    this.front = front;
    this.container = container;
    this.sweeper = setInterval(() => this.sweep(), SWEEP_MS);
    this.sweeper.unref();
  }

  toContainer(bytes: Buffer, peer: RemoteInfo): void {
    const key = `${peer.address} ${peer.port}`;
    const client = this.clients.get(key) ?? this.admit(peer);
    this.clients.delete(key);
    this.clients.set(key, client);
    client.send(bytes);
  }

  close(): void {
    clearInterval(this.sweeper);
    for (const client of this.clients.values()) client.close();
    this.clients.clear();
    this.front.close();
  }

  private admit(peer: RemoteInfo): Client {
    if (this.clients.size >= CLIENTS_MAX) {
      for (const [oldest, client] of this.clients) {
        this.forget(oldest, client);
        break;
      }
    }
    return new Client(this.container, (bytes) => {
      this.front.send(bytes, peer.port, peer.address, () => {});
    });
  }

  private sweep(): void {
    const before = performance.now() - IDLE_MS;
    for (const [key, client] of this.clients) {
      if (client.usedAtMs < before) this.forget(key, client);
    }
  }

  private forget(key: string, client: Client): void {
    this.clients.delete(key);
    client.close();
  }
}

class Client {
  usedAtMs: number;
  private readonly socket: Socket;
  private early: Buffer[] | undefined = [];
  private closed = false;

  constructor(container: Endpoint, answer: (bytes: Buffer) => void) {
    this.usedAtMs = performance.now();
    this.socket = createSocket(typeFor(container.address));
    this.socket.on('error', () => {}); // refused by the container; it may listen later
    this.socket.on('message', (bytes) => {
      this.usedAtMs = performance.now();
      answer(bytes);
    });
    this.socket.connect(container.port, container.address, () => {
      const { early } = this;
      this.early = undefined;
      for (const bytes of early ?? []) this.send(bytes);
    });
  }

  send(bytes: Buffer): void {
    if (this.closed) return;
    this.usedAtMs = performance.now();
    if (this.early === undefined) this.socket.send(bytes, () => {});
    else if (this.early.length < EARLY_MAX) this.early.push(bytes);
  }

  close(): void {
    this.closed = true;
    this.early = undefined;
    this.socket.close();
  }
}
