import assert from 'node:assert/strict';
import type { ByteStream } from '../../../src/base/byte-stream.ts';
import { type Run, runOf } from '../../../src/base/run.ts';
import type { MuxChannel, MuxChannelHandler } from '../../../src/mux/mux-channel.ts';
import type { ChannelRequest } from '../../../src/mux/request.ts';
import { MuxFlow } from '../../../src/proxy/agent/mux-flow.ts';
import { NO_FLUSH } from '../../../src/proxy/flush-scheduler.ts';
import type { MuxSocketHandler } from '../../../src/proxy/mux/mux-socket.ts';
import type { Turns } from '../../../src/proxy/turns.ts';
import { TurnLoop } from '../../support/turn-loop.ts';

const CLOCK = { now: () => performance.now() };
const TARGET = { proto: 'unix', path: '/x' } as const;

/** One direction's end of a pipe that holds little. */
class FakeFlow implements ByteStream {
  other: FakeFlow | undefined;
  handler: MuxFlow | undefined;
  aborted = false;
  private held: Buffer[] = [];
  private heldLen = 0;
  private wanted = 0;
  private readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get receivedLen(): number {
    return this.heldLen;
  }

  readable(): Uint8Array {
    return this.held[0] ?? new Uint8Array(0);
  }

  lend(): Run {
    const first = this.readable();
    return runOf(first, 0, first.length);
  }

  get queuedLen(): number {
    return this.other?.heldLen ?? 0;
  }

  release(_now: number, n: number): void {
    const first = this.held.shift() ?? Buffer.alloc(0);
    if (n < first.length) this.held.unshift(first.subarray(n));
    this.heldLen -= n;
    this.other?.notifySpace();
  }

  get sendSpace(): number {
    return this.capacity - (this.other?.heldLen ?? 0);
  }

  send(_now: number, bytes: Uint8Array, off: number, len: number): void {
    assert.ok(len <= this.sendSpace);
    const { other } = this;
    if (other === undefined || other.aborted) return;
    other.held.push(Buffer.from(bytes.subarray(off, off + len)));
    other.heldLen += len;
    setImmediate(() => other.handler?.onReadable(CLOCK.now()));
  }

  wantSpace(n: number): void {
    this.wanted = n;
  }

  notifySpace(): void {
    if (this.wanted === 0 || this.sendSpace < Math.min(this.wanted, this.capacity)) return;
    this.wanted = 0;
    setImmediate(() => this.handler?.onWritable(CLOCK.now()));
  }

  shutdown(): void {}

  abort(): void {
    this.aborted = true;
    const other = this.other;
    setImmediate(() => other?.handler?.onClosed(CLOCK.now(), other, 'reset-by-guest'));
  }
}

class Sink implements MuxChannelHandler {
  received = 0;
  sum = 0;
  ended = '';
  onOpen(): void {}
  onReadable(now: number, channel: MuxChannel): void {
    while (channel.receivedLen > 0) {
      const run = channel.readable();
      for (const byte of run) this.sum = (this.sum * 31 + byte) | 0;
      this.received += run.length;
      channel.release(now, run.length);
    }
  }
  onWritable(): void {}
  onPeerEnd(now: number, channel: MuxChannel): void {
    channel.shutdown(now);
  }
  onClosed(_now: number, _channel: MuxChannel, reason: string): void {
    this.ended = reason;
  }
}

class Source extends Sink {
  private left: number;
  private readonly chunk = Buffer.alloc(64 << 10, 5);
  constructor(total: number) {
    super();
    this.left = total;
  }
  override onOpen(now?: number, channel?: MuxChannel): void {
    if (now !== undefined && channel !== undefined) this.more(now, channel);
  }
  override onWritable(now?: number, channel?: MuxChannel): void {
    if (now !== undefined && channel !== undefined) this.more(now, channel);
  }
  override onPeerEnd(): void {}
  private more(now: number, channel: MuxChannel): void {
    const n = Math.min(this.left, channel.sendSpace, this.chunk.length);
    if (n > 0) channel.send(now, this.chunk, 0, n);
    this.left -= n;
    if (this.left === 0) channel.shutdown(now);
    else channel.wantSpace(this.chunk.length);
  }
}

class Ends implements MuxSocketHandler {
  requests = 0;
  onAsked: () => void = () => {};
  ready = false;
  closed: string | undefined;
  readonly sink: Sink = new Sink();
  onReady(): void {
    this.ready = true;
  }
  onRequest(now: number, request: ChannelRequest): void {
    this.requests++;
    this.onAsked();
    request.accept(now, this.sink);
  }
  onGoAway(): void {}
  onClosed(reason: string): void {
    this.closed = reason;
  }
}

async function turns(done: () => boolean): Promise<void> {
  for (let i = 0; !done(); i++) {
    assert.ok(i < 200_000, 'it does not end');
    await new Promise(setImmediate);
  }
}

describe('a multiplexer over a flow', () => {
  let here: MuxFlow;
  let there: MuxFlow;
  let hereEnds: Ends;
  let thereEnds: Ends;
  let flows: readonly [FakeFlow, FakeFlow];

  function connect(capacity: number, shared?: Turns): void {
    const one = new FakeFlow(capacity);
    const two = new FakeFlow(capacity);
    one.other = two;
    two.other = one;
    hereEnds = new Ends();
    thereEnds = new Ends();
    here = new MuxFlow(CLOCK, { role: 'connector' }, hereEnds, NO_FLUSH);
    there = new MuxFlow(CLOCK, { role: 'listener' }, thereEnds, NO_FLUSH, shared);
    one.handler = here;
    two.handler = there;
    here.join(one);
    there.join(two);
    here.onOpen(CLOCK.now());
    there.start(CLOCK.now());
    flows = [one, two];
  }
  afterEach(() => {
    here.destroy();
    there.destroy();
  });

  for (const capacity of [50, 4_000, 1 << 20]) {
    it(`carries a transfer whole through a flow that takes ${capacity} bytes at a time`, async () => {
      connect(capacity);
      const total = capacity < 1_000 ? 100_000 : 3_000_000;
      const source = new Source(total);
      assert.ok(here.mux.open(CLOCK.now(), TARGET, source));
      await turns(() => source.ended !== '');
      assert.equal(thereEnds.sink.received, total);
      assert.equal(source.ended, 'finished');
      assert.equal(thereEnds.ready && hereEnds.ready && here.mux.extended, true);
      const expected = new Sink();
      for (let i = 0; i < total; i++) expected.sum = (expected.sum * 31 + 5) | 0;
      assert.equal(thereEnds.sink.sum, expected.sum);
    });
  }

  it('serves its opens within its share of each turn, and all of them', async () => {
    const OPENS = 500;
    const OPEN_MS = 0.1;
    const loop = new TurnLoop();
    connect(1 << 20, loop.turns);
    await turns(() => here.mux.ready && there.mux.ready);
    thereEnds.onAsked = () => {
      loop.nowMs += OPEN_MS;
    };
    for (let i = 0; i < OPENS; i++) assert.ok(here.mux.open(CLOCK.now(), TARGET, new Sink()));
    here.mux.flush(CLOCK.now());
    await turns(() => !loop.isIdle);
    while (thereEnds.requests < OPENS) {
      const { requests } = thereEnds;
      loop.poll();
      await new Promise(setImmediate);
      assert.ok(thereEnds.requests > requests, `it goes on after ${requests}`);
      assert.ok(thereEnds.requests - requests <= 42, `${thereEnds.requests - requests} at once`);
    }
  });

  it("the flow's end ends the channels, each with its reason, and then the link", async () => {
    connect(100_000);
    const source = new Source(Number.POSITIVE_INFINITY);
    assert.ok(here.mux.open(CLOCK.now(), TARGET, source));
    await turns(() => thereEnds.sink.received > 500_000);
    there.destroy();
    assert.equal(flows[1].aborted, true);
    await turns(() => hereEnds.closed !== undefined && thereEnds.closed !== undefined);
    assert.equal(source.ended, 'link-down');
    assert.equal(thereEnds.sink.ended, 'link-down');
    assert.deepEqual([hereEnds.closed, thereEnds.closed], ['link-down', 'link-down']);
  });
});
