/** Two multiplexers joined by memory, in virtual time, for tests. */
import { makeSlab, type Slab } from '../../src/base/slab.ts';
import type { Destination } from '../../src/mux/destination.ts';
import { Mux } from '../../src/mux/mux.ts';
import type { MuxChannel, MuxChannelHandler } from '../../src/mux/mux-channel.ts';
import type { MuxHandler } from '../../src/mux/mux-handler.ts';
import type { MuxOptions } from '../../src/mux/options.ts';
import type { ChannelRequest } from '../../src/mux/request.ts';
import type { MuxWriter } from '../../src/mux/writer.ts';

const SLAB_LEN = 256 << 10;

/** Keeps what is written until it is taken; has room for one slab. */
export class MemoryWriter implements MuxWriter {
  readonly slab: Slab;
  room = 0;
  filled = 0;
  flushes = 0;
  stalled = false;
  private readonly limit: number;

  constructor(limit: number = SLAB_LEN) {
    this.limit = limit;
    this.slab = makeSlab(limit);
  }

  reserve(minLen: number): number {
    if (this.filled + minLen > this.limit) {
      this.stalled = true;
      return -1;
    }
    this.room = this.limit - this.filled;
    return this.filled;
  }

  commit(len: number): void {
    this.filled += len;
  }

  flush(): void {
    this.flushes++;
  }

  take(most: number): Uint8Array {
    const n = Math.min(most, this.filled);
    const bytes = this.slab.bytes.slice(0, n);
    this.slab.bytes.copyWithin(0, n, this.filled);
    this.filled -= n;
    return bytes;
  }
}

/** Collects the events of a channel; reads everything at once unless `paused`. */
export class Sink implements MuxChannelHandler {
  readonly chunks: Uint8Array[] = [];
  readonly log: string[] = [];
  paused = false;
  /** End our direction when the peer ends its own. */
  echoEnd = true;
  channel: MuxChannel | undefined = undefined;
  onRoom: (now: number, channel: MuxChannel) => void = () => undefined;

  get bytes(): Uint8Array {
    return concat(this.chunks);
  }

  onOpen(): void {
    this.log.push('open');
  }

  onReadable(now: number, channel: MuxChannel): void {
    if (!this.paused) this.read(now, channel);
  }

  read(now: number, channel: MuxChannel): void {
    while (channel.receivedLen > 0) {
      const run = channel.readable().slice();
      this.chunks.push(run);
      channel.release(now, run.length);
    }
  }

  onWritable(now: number, channel: MuxChannel): void {
    this.onRoom(now, channel);
  }

  onPeerEnd(now: number, channel: MuxChannel): void {
    this.log.push('end');
    if (this.echoEnd) channel.shutdown(now);
  }

  onClosed(_now: number, _channel: MuxChannel, reason: string, text: string): void {
    this.log.push(text === '' ? reason : `${reason}: ${text}`);
  }
}

export class End implements MuxHandler {
  readonly writer: MemoryWriter;
  readonly mux: Mux;
  readonly log: string[] = [];
  readonly requests: ChannelRequest[] = [];
  /** Sinks of accepted channels, in order. */
  readonly sinks: Sink[] = [];
  worked = false;
  answer: (now: number, request: ChannelRequest) => void = (now, request) => {
    const sink = new Sink();
    this.sinks.push(sink);
    sink.channel = request.accept(now, sink);
  };

  constructor(options: MuxOptions, limit?: number) {
    this.writer = new MemoryWriter(limit);
    this.mux = new Mux(options, this.writer, this);
  }

  onReady(_now: number, extended: boolean): void {
    this.log.push(extended ? 'extended' : 'plain');
  }

  onRequest(now: number, request: ChannelRequest): void {
    this.requests.push(request);
    this.answer(now, request);
  }

  onGoAway(): void {
    this.log.push('go-away');
  }

  onDrained(): void {
    this.log.push('drained');
  }

  onDown(_now: number, reason: string): void {
    this.log.push(reason);
  }

  onWork(): void {
    this.worked = true;
  }

  /** Feed bytes as one batch. */
  feed(now: number, bytes: Uint8Array): void {
    const slab = makeSlab(bytes.length);
    slab.bytes.set(bytes);
    this.mux.onBytes(now, slab, 0, bytes.length);
    this.mux.onBatchEnd(now);
  }

  settle(now: number): void {
    if (this.worked) {
      this.worked = false;
      this.mux.flush(now);
    }
    if (this.writer.stalled && this.writer.filled === 0) {
      this.writer.stalled = false;
      this.mux.onWritable(now);
    }
  }
}

export interface PairOptions {
  readonly host?: Partial<MuxOptions>;
  readonly guest?: Partial<MuxOptions>;
  /** Room of each writer. */
  readonly limit?: number;
}

/** `host` dialled the link. */
export class Pair {
  now = 0;
  readonly host: End;
  readonly guest: End;

  constructor({ host = {}, guest = {}, limit }: PairOptions = {}) {
    this.host = new End({ ...host, role: 'connector' }, limit);
    this.guest = new End({ ...guest, role: 'listener' }, limit);
    this.host.mux.start(0);
    this.guest.mux.start(0);
  }

  /** Move at most `most` bytes each way once. @returns whether anything moved or is left to do */
  step(most: number = SLAB_LEN): boolean {
    this.now += 0.1;
    const moved = this.carry(this.host, this.guest, most);
    return (
      this.carry(this.guest, this.host, most) || moved || this.host.worked || this.guest.worked
    );
  }

  run(most?: number): void {
    let left = 200_000;
    while (this.step(most)) if (--left === 0) throw new Error('the pair does not come to rest');
  }

  carry(from: End, to: End, most: number): boolean {
    from.settle(this.now);
    const bytes = from.writer.take(most);
    if (bytes.length > 0) to.feed(this.now, bytes);
    from.settle(this.now);
    return bytes.length > 0 || from.writer.filled > 0;
  }

  /** Open from the host. */
  open(destination: Destination = TARGET): { channel: MuxChannel; sink: Sink } {
    return open(this.host, this.now, destination);
  }
}

export function open(
  end: End,
  now: number,
  destination: Destination = TARGET,
): { channel: MuxChannel; sink: Sink } {
  const sink = new Sink();
  const channel = end.mux.open(now, destination, sink);
  if (channel === undefined) throw new Error('not opened');
  return { channel, sink };
}

export const TARGET: Destination = { proto: 'unix', path: '/run/x.sock' };

export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Bytes that differ by place and by `seed`. */
export function pattern(len: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(len);
  let x = seed | 1;
  for (let i = 0; i < len; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

/** Send all of `bytes`, as space comes; then end if `end`. */
export function sendAll(
  now: number,
  channel: MuxChannel,
  sink: Sink,
  bytes: Uint8Array,
  end: boolean,
): void {
  let off = 0;
  const more = (at: number): void => {
    const n = Math.min(channel.sendSpace, bytes.length - off);
    channel.send(at, bytes, off, n);
    off += n;
    if (off < bytes.length) channel.wantSpace(Math.min(bytes.length - off, 4096));
    else if (end) channel.shutdown(at);
  };
  sink.onRoom = more;
  more(now);
}
