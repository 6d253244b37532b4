/** A guest of a vsock endpoint, packet by packet, and a recorder of the events of its host end. */
import assert from 'node:assert/strict';
import { BufferPool } from '../../../src/base/buffer-pool.ts';
import type { ByteRing } from '../../../src/base/byte-ring.ts';
import { makeSlab } from '../../../src/base/slab.ts';
import type { Instant } from '../../../src/base/time.ts';
import type { CloseReason } from '../../../src/stack/flow.ts';
import {
  type PacketPayload,
  type PacketPort,
  VsockEndpoint,
  type VsockSettings,
} from '../../../src/transports/vsock/endpoint.ts';
import * as p from '../../../src/transports/vsock/packet.ts';
import type {
  VsockRequest,
  VsockStream,
  VsockStreamHandler,
} from '../../../src/transports/vsock/stream.ts';

export const CID = 42;

const NAMES = [
  'INVALID',
  'REQUEST',
  'RESPONSE',
  'RST',
  'SHUTDOWN',
  'RW',
  'CREDIT_UPDATE',
  'CREDIT_REQUEST',
] as const;

export interface Packet {
  readonly op: string;
  readonly hostPort: number;
  readonly guestPort: number;
  readonly flags: number;
  readonly bufAlloc: number;
  readonly fwdCnt: number;
  readonly payload: Uint8Array;
}

export interface GuestPacket {
  readonly payload?: Uint8Array;
  readonly flags?: number;
  readonly bufAlloc?: number;
  readonly fwdCnt?: number;
  readonly src?: number;
  readonly dst?: number;
  readonly type?: number;
  /** What the header says, if not the truth. */
  readonly len?: number;
}

export class Guest implements PacketPort {
  readonly pool: BufferPool;
  readonly endpoint: VsockEndpoint;
  readonly requests: VsockRequest[] = [];
  /** Buffers lent to the host, and their size. */
  buffers: number = Number.POSITIVE_INFINITY;
  bufferLen = 4096;
  works = 0;
  flushes = 0;
  now: Instant = 0;
  private received: Packet[] = [];

  constructor(settings: Partial<VsockSettings> = {}) {
    this.pool = settings.pool ?? new BufferPool(16 << 20);
    this.endpoint = new VsockEndpoint(
      {
        guestCid: CID,
        window: 256 << 10,
        sendBuffer: 64 << 10,
        maxStreams: 8,
        connectTimeoutMs: 1000,
        firstPort: 5000,
        pool: this.pool,
        ...settings,
      },
      this,
      (_now, request) => this.requests.push(request),
    );
  }

  /** A packet to the host, and the end of its batch. @returns what the host answered */
  send(op: number, guestPort: number, hostPort: number, options: GuestPacket = {}): Packet[] {
    this.put(op, guestPort, hostPort, options);
    return this.step();
  }

  put(op: number, guestPort: number, hostPort: number, options: GuestPacket = {}): void {
    const { payload = new Uint8Array(0), len = payload.length } = options;
    const header = makeSlab(p.VSOCK_HEADER_LEN);
    const { view } = header;
    p.emitAddresses(view, options.src ?? CID, guestPort, options.dst ?? p.HOST_CID, hostPort);
    const alloc = options.bufAlloc ?? 256 << 10;
    p.emitPacket(view, op, len, options.flags ?? 0, alloc, options.fwdCnt ?? 0);
    if (options.type !== undefined) view.setUint16(28, options.type, true);
    this.endpoint.onPacket(this.now, view, new FlatPayload(payload));
  }

  /** End a batch. @returns what the host sent */
  step(): Packet[] {
    this.endpoint.flush(this.now);
    return this.take();
  }

  take(): Packet[] {
    return this.received.splice(0);
  }

  /** Open a stream from the guest and accept it. */
  open(handler: Recorder, guestPort = 1, hostPort = 80): VsockStream {
    this.send(p.OP_REQUEST, guestPort, hostPort);
    const stream = this.requests.pop()?.accept(this.now, handler);
    assert.ok(stream);
    assert.deepEqual(ops(this.step()), ['RESPONSE']);
    return stream;
  }

  // --- the port ---

  room(): number {
    return this.buffers > 0 ? this.bufferLen : -1;
  }

  write(header: Uint8Array, payload: ByteRing | undefined, len: number): void {
    const view = new DataView(header.buffer, header.byteOffset, header.length);
    assert.equal(p.dstCid(view), CID);
    assert.equal(p.payloadLen(view), len);
    const bytes = new Uint8Array(len);
    payload?.copyOut(0, len, bytes, 0);
    this.buffers--;
    this.received.push({
      op: NAMES[p.packetOp(view)] ?? '?',
      hostPort: p.srcPort(view),
      guestPort: p.dstPort(view),
      flags: p.packetFlags(view),
      bufAlloc: p.bufAlloc(view),
      fwdCnt: p.fwdCnt(view),
      payload: bytes,
    });
  }

  flush(): void {
    this.flushes++;
  }

  onWork(): void {
    this.works++;
  }
}

export const ops = (packets: readonly Packet[]): string[] => packets.map(({ op }) => op);

class FlatPayload implements PacketPayload {
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get length(): number {
    return this.bytes.length;
  }

  readInto(ring: ByteRing, len: number): boolean {
    return ring.append(this.bytes, 0, len);
  }
}

export class Recorder implements VsockStreamHandler {
  readonly events: string[] = [];
  onWritableDo: ((now: Instant, stream: VsockStream) => void) | undefined = undefined;

  onOpen(): void {
    this.events.push('open');
  }

  onReadable(_now: Instant, stream: VsockStream): void {
    this.events.push(`readable ${stream.receivedLen}`);
  }

  onWritable(now: Instant, stream: VsockStream): void {
    this.events.push('writable');
    this.onWritableDo?.(now, stream);
  }

  onPeerEnd(): void {
    this.events.push('end');
  }

  onClosed(_now: Instant, _stream: VsockStream, reason: CloseReason): void {
    this.events.push(`closed ${reason}`);
  }
}
