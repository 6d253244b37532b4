/**
 * The host's end of a virtio-vsock device: all streams between one guest and the host. Sans-IO:
 * packets and the time come in, packets go out through a port.
 *
 * Theory of operation
 * -------------------
 * Packets of the guest are received by `onPacket`, a batch of them ended by `flush`, which delivers the
 * events to the handlers and then sends what is due, in turn, one packet per connection, as long
 * as the guest has lent buffers. Work that handlers and applications cause outside of a batch is announced
 * by `PacketPort.onWork`, once, and also sent by `flush`.
 *
 * The guest is hostile: what it sends is checked, counted in `drops` by reason, and answered by a
 * reset at most. Tables and queues are bounded. Requests without an answer, ours or the guest's,
 * time out.
 */

import type { BufferPool } from '../../base/buffer-pool.ts';
import type { ByteRing } from '../../base/byte-ring.ts';
import { Counters } from '../../base/counters.ts';
import { NO_BYTES } from '../../base/no-bytes.ts';
import { makeSlab } from '../../base/slab.ts';
import { type Instant, NEVER } from '../../base/time.ts';
import { Connection, type ConnectionPort } from './connection.ts';
import * as p from './packet.ts';
import type { VsockRequest, VsockStream, VsockStreamHandler } from './stream.ts';

export interface VsockSettings {
  /** The guest's context identifier, at least 3. */
  readonly guestCid: number;
  /** Receive buffer of each stream, and bytes that each holds for the guest. */
  readonly window: number;
  readonly sendBuffer: number;
  readonly maxStreams: number;
  /** A connect, ours or the guest's, that is not answered after this time has failed. */
  readonly connectTimeoutMs: number;
  /** Where the ports of our own streams begin. */
  readonly firstPort: number;
  readonly pool: BufferPool;
}

/** Where packets for the guest are written. */
export interface PacketPort {
  /** @returns payload bytes that the next packet may have; -1 when the guest lent no buffer */
  room(): number;
  /** Write a packet into that buffer: the header, and the `len` oldest bytes of `payload`. */
  write(header: Uint8Array, payload: ByteRing | undefined, len: number): void;
  /** Notify the guest of the packets written. */
  flush(): void;
  /** `flush` of the endpoint is wanted soon; called again only after it. */
  onWork(): void;
}

/** The payload of a packet of the guest, borrowed for the call. */
export interface PacketPayload {
  /** Bytes that follow the header. */
  readonly length: number;
  /** Append the first `len` to a ring. @returns false when there is no memory */
  readInto(ring: ByteRing, len: number): boolean;
}

export type VsockDrop =
  | 'bad-source'
  | 'bad-destination'
  | 'bad-type'
  | 'bad-op'
  | 'truncated'
  | 'no-connection'
  | 'too-many-streams'
  | 'too-many-resets'
  | 'beyond-credit'
  | 'bad-credit'
  | 'unexpected'
  | 'no-memory';

/** Resets that wait for a buffer, beyond those of known streams. */
const EXTRA_RESETS = 256;
const PORTS = 2 ** 32;
/** The buffer of a stream while memory is short. */
const TIGHT_WINDOW = 64 << 10;

export class VsockEndpoint implements ConnectionPort {
  readonly pool: BufferPool;
  readonly sendBuffer: number;
  readonly drops: Counters<VsockDrop> = new Counters();
  packetsToHost = 0;
  packetsToGuest = 0;
  bytesToHost: number = NO_BYTES;
  bytesToGuest: number = NO_BYTES;
  streamsOpened = 0;
  private readonly settings: VsockSettings;
  private readonly port: PacketPort;
  private readonly onRequest: (now: Instant, request: VsockRequest) => void;
  /** By the host's port, then the guest's. */
  private readonly byPorts = new Map<number, Map<number, Connection>>();
  private count = 0;
  /** Connections not established yet, oldest first. */
  private readonly opening = new Set<Connection>();
  private sends: Connection[] = [];
  private sendsNext: Connection[] = [];
  private events: Connection[] = [];
  /** Resets to send: triples of host CID, host port, guest port. */
  private readonly resets: number[] = [];
  private readonly requests: VsockRequest[] = [];
  private nextPort: number;
  private flushing = false;
  private announced = false;
  private readonly header = makeSlab(p.VSOCK_HEADER_LEN);

  /** @param onRequest a guest connects; called from `flush`. It may answer at once or later. */
  constructor(
    settings: VsockSettings,
    port: PacketPort,
    onRequest: (now: Instant, request: VsockRequest) => void,
  ) {
    this.settings = settings;
    this.pool = settings.pool;
    this.sendBuffer = settings.sendBuffer;
    this.port = port;
    this.onRequest = onRequest;
    this.nextPort = settings.firstPort;
  }

  get streamsOpen(): number {
    return this.count;
  }

  /** When `flush` is needed next if nothing happens. */
  get nextDeadline(): Instant {
    for (const oldest of this.opening) return oldest.openedAt + this.settings.connectTimeoutMs;
    return NEVER;
  }

  streams(): readonly VsockStream[] {
    return [...this.byPorts.values()].flatMap((ports) => [...ports.values()]);
  }

  /** Connect to a port of the guest. @returns undefined when there are too many streams */
  connect(now: Instant, guestPort: number, handler: VsockStreamHandler): VsockStream | undefined {
    if (this.count >= this.settings.maxStreams) return undefined;
    while (this.find(this.nextPort, guestPort) !== undefined) this.advancePort();
    const connection = this.add(now, guestPort, this.nextPort, 'host');
    this.advancePort();
    connection.open(handler);
    return connection;
  }

  /** A packet of the guest. @param header `VSOCK_HEADER_LEN` bytes that the guest cannot change */
  onPacket(now: Instant, header: DataView, payload: PacketPayload): void {
    this.packetsToHost++;
    const fault = this.receive(now, header, payload);
    if (fault !== undefined) this.drops.add(fault);
  }

  /** End a batch: deliver its events, send what is due. */
  flush(now: Instant): void {
    if (this.flushing) return;
    this.flushing = true;
    this.expire(now);
    do {
      this.deliverEvents(now);
      this.send();
    } while (this.events.length > 0 || this.requests.length > 0);
    this.flushing = false;
    this.announced = false;
    this.port.flush();
  }

  /** The guest's driver has restarted, or is gone: every stream ends. */
  reset(now: Instant): void {
    this.resets.length = 0;
    for (const stream of this.streamList()) {
      this.detach(stream, false);
      stream.end('link-down');
    }
    this.flush(now);
  }

  // --- for connections ---

  queueSend(connection: Connection): void {
    if (connection.inSends) return;
    connection.inSends = true;
    this.sendsNext.push(connection);
    this.announce();
  }

  queueEvent(connection: Connection): void {
    if (connection.inEvents) return;
    connection.inEvents = true;
    this.events.push(connection);
    this.announce();
  }

  detach(connection: Connection, reset: boolean): void {
    if (!connection.attached) return;
    connection.attached = false;
    const { hostPort, guestPort } = connection;
    const ports = this.byPorts.get(hostPort);
    ports?.delete(guestPort);
    if (ports?.size === 0) this.byPorts.delete(hostPort);
    this.count--;
    this.opening.delete(connection);
    if (reset) this.queueReset(p.HOST_CID, hostPort, guestPort);
  }

  private receive(now: Instant, header: DataView, payload: PacketPayload): VsockDrop | undefined {
    const to = p.dstCid(header);
    const hostPort = p.dstPort(header);
    const guestPort = p.srcPort(header);
    const op = p.packetOp(header);
    const len = p.payloadLen(header);
    if (p.srcCid(header) !== this.settings.guestCid) return 'bad-source';
    if (to === -1) return 'bad-destination';
    if (to !== p.HOST_CID || p.packetType(header) !== p.TYPE_STREAM) {
      // virtio 1.2 §5.10.6.4: a packet without a receiver is answered by a reset.
      if (op !== p.OP_RST) this.queueReset(to, hostPort, guestPort);
      return to === p.HOST_CID ? 'bad-type' : 'bad-destination';
    }
    const connection = this.find(hostPort, guestPort);
    if (op === p.OP_REQUEST) return this.onConnect(now, header, hostPort, guestPort, connection);
    if (connection === undefined) {
      if (op === p.OP_RST) return undefined; // the guest's answer to ours
      this.queueReset(to, hostPort, guestPort);
      return 'no-connection';
    }
    const fault =
      len > payload.length
        ? 'truncated'
        : connection.onCredit(header)
          ? this.dispatch(op, header, len, payload, connection)
          : 'bad-credit';
    if (fault !== undefined) connection.fail('reset-by-host');
    return fault;
  }

  private dispatch(
    op: number,
    header: DataView,
    len: number,
    payload: PacketPayload,
    connection: Connection,
  ): VsockDrop | undefined {
    if (op === p.OP_RST) {
      connection.onReset();
      return undefined;
    }
    if (op === p.OP_RESPONSE) {
      if (connection.established || connection.openedBy === 'guest') return 'unexpected';
      this.opening.delete(connection);
      connection.onResponse();
      return undefined;
    }
    if (!connection.established) return 'unexpected';
    switch (op) {
      case p.OP_RW:
        if (len === 0) return undefined;
        if (!connection.mayReceive(len)) return 'beyond-credit';
        if (!payload.readInto(connection.rx, len)) return 'no-memory';
        this.bytesToHost += len;
        connection.onReceived(len);
        return undefined;
      case p.OP_SHUTDOWN:
        connection.onShutdown(p.packetFlags(header));
        return undefined;
      case p.OP_CREDIT_UPDATE:
        return undefined;
      case p.OP_CREDIT_REQUEST:
        connection.onCreditRequest();
        return undefined;
    }
    return 'bad-op';
  }

  private onConnect(
    now: Instant,
    header: DataView,
    hostPort: number,
    guestPort: number,
    stale: Connection | undefined,
  ): VsockDrop | undefined {
    if (stale !== undefined) {
      // The guest has forgotten it.
      this.detach(stale, false);
      stale.end('reset-by-guest');
    }
    if (this.count >= this.settings.maxStreams) {
      this.queueReset(p.HOST_CID, hostPort, guestPort);
      return 'too-many-streams';
    }
    const connection = this.add(now, guestPort, hostPort, 'guest');
    connection.onCredit(header);
    const request: VsockRequest = {
      guestPort,
      hostPort,
      accept: (_now, handler) => {
        if (connection.request === undefined || !connection.attached) return undefined;
        this.opening.delete(connection);
        connection.open(handler);
        return connection;
      },
      refuse: () => {
        if (connection.request === undefined) return;
        connection.request = undefined;
        this.detach(connection, true);
      },
      onCancelled: undefined,
    };
    connection.request = request;
    this.requests.push(request);
    this.announce();
    return undefined;
  }

  private add(
    now: Instant,
    guestPort: number,
    hostPort: number,
    openedBy: 'guest' | 'host',
  ): Connection {
    const { window } = this.settings;
    const allowed = this.pool.tight ? Math.min(window, TIGHT_WINDOW) : window;
    const connection = new Connection(this, guestPort, hostPort, openedBy, now, allowed);
    const ports = this.byPorts.get(hostPort);
    if (ports === undefined) this.byPorts.set(hostPort, new Map([[guestPort, connection]]));
    else ports.set(guestPort, connection);
    this.count++;
    this.streamsOpened++;
    this.opening.add(connection);
    return connection;
  }

  private find(hostPort: number, guestPort: number): Connection | undefined {
    return this.byPorts.get(hostPort)?.get(guestPort);
  }

  private streamList(): readonly Connection[] {
    return [...this.byPorts.values()].flatMap((ports) => [...ports.values()]);
  }

  private advancePort(): void {
    const next = this.nextPort + 1;
    this.nextPort = next < PORTS - 1 ? next : this.settings.firstPort;
  }

  private queueReset(fromCid: number, hostPort: number, guestPort: number): void {
    if (this.resets.length >= 3 * (this.settings.maxStreams + EXTRA_RESETS)) {
      this.drops.add('too-many-resets');
      return;
    }
    this.resets.push(fromCid, hostPort, guestPort);
    this.announce();
  }

  private announce(): void {
    if (this.flushing || this.announced) return;
    this.announced = true;
    this.port.onWork();
  }

  private expire(now: Instant): void {
    for (const connection of this.opening) {
      if (now < connection.openedAt + this.settings.connectTimeoutMs) return;
      connection.fail('timed-out');
    }
  }

  private deliverEvents(now: Instant): void {
    for (const request of this.requests.splice(0)) this.onRequest(now, request);
    const { events } = this;
    this.events = [];
    for (const connection of events) {
      connection.inEvents = false;
      connection.deliverEvents(now);
      // The end is delivered only after everything before it.
      if (connection.hasPendingEvents) this.queueEvent(connection);
    }
  }

  /** Send what is due, one packet a connection at a time, until the guest has lent no more. */
  private send(): void {
    if (!this.sendResets()) return;
    for (;;) {
      if (this.sends.length === 0) {
        if (this.sendsNext.length === 0) return;
        const done = this.sends;
        this.sends = this.sendsNext.reverse(); // taken from its end
        this.sendsNext = done;
      }
      const connection = this.sends.at(-1);
      const room = this.port.room();
      if (connection === undefined || room < 0) return;
      this.sends.pop();
      connection.inSends = false;
      const len = connection.nextPacket(this.header.view, room);
      if (len < 0) continue;
      this.write(p.HOST_CID, connection.hostPort, connection.guestPort, connection.tx, len);
      connection.onSent(len);
      this.queueSend(connection);
      if (!this.sendResets()) return;
    }
  }

  private sendResets(): boolean {
    let done = 0;
    for (; done < this.resets.length; done += 3) {
      if (this.port.room() < 0) break;
      const { view } = this.header;
      p.emitPacket(view, p.OP_RST, 0, 0, 0, 0);
      const [cid = 0, hostPort = 0, guestPort = 0] = this.resets.slice(done, done + 3);
      this.write(cid, hostPort, guestPort, undefined, 0);
    }
    if (done > 0) this.resets.splice(0, done);
    return this.resets.length === 0;
  }

  private write(
    cid: number,
    hostPort: number,
    guestPort: number,
    payload: ByteRing | undefined,
    len: number,
  ): void {
    p.emitAddresses(this.header.view, cid, hostPort, this.settings.guestCid, guestPort);
    this.port.write(this.header.bytes, payload, len);
    this.packetsToGuest++;
    this.bytesToGuest += len;
  }
}
