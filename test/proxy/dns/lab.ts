/** Upstreams that do what a test says, and a forwarder in front of them. Loopback only. */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { SILENT } from '../../../src/base/log.ts';
import { DnsForwarder, type DnsForwarderOptions } from '../../../src/proxy/dns/forwarder.ts';
import { LocalNames } from '../../../src/services/dns/local-names.ts';
import type { DnsUpstream } from '../../../src/services/dns/resolv-conf.ts';
import { DnsTcpReader, frameDnsMessage } from '../../../src/services/dns/tcp-framing.ts';
import type { Guest } from '../../../src/stack/guest.ts';
import { OWNER, SOCKETS } from '../recording.ts';

type Transport = 'udp' | 'tcp';
/** @returns the replies to send: none for silence */
export type Behaviour = (query: Uint8Array, transport: Transport) => readonly Uint8Array[];

/** Bind both to one free port of loopback: TCP's choice, and another while UDP has that in use. */
export async function listenOnOnePort(udp: Socket, tcp: Server): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    tcp.listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    const { port } = tcp.address() as AddressInfo;
    try {
      udp.bind(port, '127.0.0.1');
      await once(udp, 'listening');
      return port;
    } catch (error) {
      if (attempt === 9) throw error;
      tcp.close();
      await once(tcp, 'close');
    }
  }
}

/** A server on one loopback port, by UDP and TCP. */
export class FakeUpstream {
  readonly seen: Transport[] = [];
  readonly ids: Set<number> = new Set();
  readonly ports: Set<number> = new Set();
  behave: Behaviour;
  private readonly udp: Socket = createSocket('udp4');
  private readonly tcp: Server;
  private port = 0;
  private udpClosed = false;

  constructor(behave: Behaviour) {
    this.behave = behave;
    this.udp.on('message', (query, from) => {
      this.ports.add(from.port);
      for (const reply of this.handle(new Uint8Array(query), 'udp'))
        this.udp.send(reply, from.port, from.address);
    });
    this.tcp = createServer((socket) => {
      const reader = new DnsTcpReader(65_535, (query) => {
        for (const reply of this.handle(query, 'tcp')) socket.write(frameDnsMessage(reply));
      });
      socket.on('data', (bytes) => reader.push(bytes));
      socket.on('error', () => socket.destroy());
    });
  }

  get server(): DnsUpstream {
    return { address: '127.0.0.1', port: this.port };
  }

  async start(): Promise<this> {
    this.port = await listenOnOnePort(this.udp, this.tcp);
    return this;
  }

  /** Refuse datagrams from now on. */
  closeUdp(): void {
    if (!this.udpClosed) this.udp.close();
    this.udpClosed = true;
  }

  stop(): void {
    this.closeUdp();
    this.tcp.close();
  }

  private handle(query: Uint8Array, transport: Transport): readonly Uint8Array[] {
    this.seen.push(transport);
    this.ids.add(((query[0] ?? 0) << 8) | (query[1] ?? 0));
    return this.behave(query, transport);
  }
}

export const makeForwarder = (options: Partial<DnsForwarderOptions>): DnsForwarder =>
  new DnsForwarder({
    names: new LocalNames({ gateway: [], host: [], zones: [] }),
    log: SILENT,
    now: () => performance.now(),
    resolvConf: '/nonexistent/resolv.conf',
    timing: { attemptMs: 2000, deadlineMs: 4000 },
    sockets: SOCKETS,
    ...options,
  });

/** One query and its answer. */
export const resolve = (
  forwarder: DnsForwarder,
  message: Uint8Array,
  transport: Transport = 'udp',
  owner: Guest = OWNER,
): Promise<Uint8Array> => new Promise((done) => forwarder.query(message, transport, owner, done));

/** Run again and again until it is true; the test's own timeout is the limit. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((done) => setTimeout(done, 2));
}
