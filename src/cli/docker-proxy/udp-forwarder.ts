/**
 * UDP from a socket of the guest to the container: a connected socket a client, so that the container
 * can tell clients apart and only its answers come back. A client is forgotten after it was idle for as
 * long as Docker's own proxy remembers it, or when there are too many, the one idle longest first.
 */
import type { Buffer } from 'node:buffer';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { type ConnectedEvents, ConnectedSocket } from '../../proxy/udp/connected-socket.ts';
import type { Admits, Endpoint, ListenAt, Listening } from './listening.ts';

const IDLE_MS = 90_000;
const SWEEP_MS = 10_000;
const CLIENTS_MAX = 4_096;

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
    // RFC 768: from port 0 comes what wants no answer, and no address to answer to.
    if (peer.port !== 0 && admits(peer.address)) forwarder.toContainer(bytes, peer);
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
    const client = this.clients.get(key) ?? this.admit(key, peer);
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

  private admit(key: string, peer: RemoteInfo): Client {
    if (this.clients.size >= CLIENTS_MAX) {
      for (const [oldest, client] of this.clients) {
        this.forget(oldest, client);
        break;
      }
    }
    const client = new Client(this.container, {
      onMessage: (bytes) => {
        client.usedAtMs = performance.now();
        this.front.send(bytes, peer.port, peer.address, () => {});
      },
      onFailure: (code) => {
        // Refused: the container may listen later. Else the host's network or its address has gone, and the
        // next datagram gets a socket of its own.
        if (code !== 'ECONNREFUSED') this.forget(key, client);
      },
    });
    return client;
  }

  private sweep(): void {
    const before = performance.now() - IDLE_MS;
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
