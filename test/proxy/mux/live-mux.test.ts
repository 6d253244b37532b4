import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { makeSlab } from '../../../src/base/slab.ts';
import type { MuxWriter } from '../../../src/mux/writer.ts';
import { LiveMux, type MuxEnd } from '../../../src/proxy/mux/live-mux.ts';
import { NodeClock } from '../../../src/transports/node-clock.ts';
import { until } from '../recording.ts';

const clock = new NodeClock();
const IGNORED = { onReady: () => {}, onRequest: () => {}, onGoAway: () => {} };

/** Gives what is written to `to`, in a later turn, as long as it is open. */
class Wire implements MuxWriter {
  readonly slab = makeSlab(64 << 10);
  readonly room: number = 64 << 10;
  isOpen = true;
  to: LiveMux | undefined = undefined;
  private len = 0;

  reserve(): number {
    return this.len;
  }

  commit(len: number): void {
    this.len += len;
  }

  flush(): void {
    const { to, len } = this;
    if (len === 0) return;
    const copy = makeSlab(len);
    copy.bytes.set(this.slab.bytes.subarray(0, len));
    this.len = 0;
    setImmediate(() => {
      if (!this.isOpen || to === undefined) return;
      to.mux.onBytes(clock.now(), copy, 0, len);
      to.mux.onBatchEnd(clock.now());
    });
  }
}

describe('a multiplexer in time', () => {
  const times = { pingIntervalMs: 1_500, pingTimeoutMs: 4_000, handshakeTimeoutMs: 700 };
  let ends: MuxEnd[];
  let wires: readonly [Wire, Wire];
  let one: LiveMux;
  let other: LiveMux;

  const make = (role: 'connector' | 'listener', writer: Wire): LiveMux =>
    new LiveMux(clock, { role, ...times }, IGNORED, {
      writer,
      onEnd: (_now, end) => ends.push(end),
    });

  beforeEach(() => {
    ends = [];
    wires = [new Wire(), new Wire()];
    one = make('connector', wires[0]);
    other = make('listener', wires[1]);
    wires[0].to = other;
    wires[1].to = one;
  });

  afterEach(() => {
    one.stop();
    other.stop();
  });

  it('wakes nobody between its timeouts', async () => {
    for (const live of [one, other]) live.start(clock.now());
    await until(() => one.mux.ready && one.mux.rttMs > 0 && other.mux.ready);
    await pause(300); // the first Ping of each
    let looks = 0;
    const { mux } = one;
    const nextTimeout = mux.nextTimeout.bind(mux);
    mux.nextTimeout = () => {
      looks++;
      return nextTimeout();
    };
    await pause(900);
    assert.equal(looks, 0);
  });

  it('keeps a timeout that comes sooner than the last', async () => {
    for (const live of [one, other]) live.start(clock.now());
    await until(() => one.mux.ready && other.mux.ready);
    await pause(300);
    wires[1].isOpen = false;
    const { stats } = one.mux;
    const before = stats.framesSent;
    await pause(1_800);
    assert.equal(stats.framesSent - before, 1, 'a Ping after its interval');
    const began = clock.now();
    await until(() => ends.length > 0);
    assert.deepEqual(ends, ['ping-timeout']);
    assert.ok(clock.now() - began < 4_000);
  });

  it('gives up a peer that says nothing', async () => {
    one.start(clock.now());
    wires[0].isOpen = false;
    const began = clock.now();
    await until(() => ends.length > 0);
    assert.deepEqual(ends, ['handshake-timeout']);
    const tookMs = clock.now() - began;
    assert.ok(tookMs > 600 && tookMs < 900, `${tookMs} ms`);
  });

  it('says nothing more once it is stopped', async () => {
    one.start(clock.now());
    wires[0].isOpen = false;
    one.stop();
    await pause(1_100);
    assert.deepEqual(ends, []);
  });
});
