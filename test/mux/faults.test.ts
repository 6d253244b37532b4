/** Handlers of ours that throw: their channel is reset, and the link and its other channels go on. */
import assert from 'node:assert/strict';
import { FaultWatch } from '../../src/base/faults.ts';
import { SILENT } from '../../src/base/log.ts';
import type { MuxChannel } from '../../src/mux/mux-channel.ts';
import { open, Pair, pattern, Sink, sendAll, TARGET } from './pair.ts';

type Where = 'onOpen' | 'onReadable' | 'onWritable' | 'onPeerEnd' | 'onClosed';

/** More than a window and a buffer. */
const MUCH = pattern(1 << 20);

class BrokenSink extends Sink {
  private readonly broken: Where;

  constructor(broken: Where) {
    super();
    this.broken = broken;
  }

  private check(where: Where): void {
    if (this.broken === where) throw new Error(`${where} is broken`);
  }

  override onOpen(): void {
    super.onOpen();
    this.check('onOpen');
  }

  override onReadable(now: number, channel: MuxChannel): void {
    this.check('onReadable');
    super.onReadable(now, channel);
  }

  override onWritable(now: number, channel: MuxChannel): void {
    this.check('onWritable');
    super.onWritable(now, channel);
  }

  override onPeerEnd(now: number, channel: MuxChannel): void {
    this.check('onPeerEnd');
    super.onPeerEnd(now, channel);
  }

  override onClosed(...args: Parameters<Sink['onClosed']>): void {
    super.onClosed(...args);
    this.check('onClosed');
  }
}

for (const [mode, options] of [
  ['extended', {}],
  ['plain', { host: { extended: false }, guest: { extended: false } }],
] as const) {
  describe(`mux: faults, in the ${mode} mode`, () => {
    let watch: FaultWatch;
    let pair: Pair;

    beforeEach(() => {
      watch = new FaultWatch(SILENT);
      pair = new Pair(options);
      pair.run();
    });
    afterEach(() => watch.close());

    /** The link is as good as new: nothing is held, and a channel carries bytes both ways. */
    function assertWorks(): void {
      for (const { mux } of [pair.host, pair.guest]) {
        assert.equal(mux.channelCount, 0);
        assert.equal(mux.windowsPromised, 0);
        assert.equal(mux.rxPool.inUse + mux.txPool.inUse, 0);
        assert.ok(mux.ready);
      }
      const server = new Sink();
      pair.guest.answer = (now, request) => {
        server.channel = request.accept(now, server);
      };
      const { channel, sink } = pair.open();
      sendAll(pair.now, channel, sink, MUCH, true);
      pair.run();
      assert.ok(Buffer.from(server.bytes).equals(MUCH));
      assert.deepEqual(sink.log, ['open', 'end', 'finished']);
    }

    const acts: readonly (readonly [Where, (near: MuxChannel, far: MuxChannel) => void])[] = [
      ['onOpen', () => {}],
      ['onReadable', (_near, far) => far.send(pair.now, Uint8Array.of(1), 0, 1)],
      [
        'onWritable',
        (near) => {
          near.send(pair.now, MUCH, 0, near.sendSpace);
          near.wantSpace(1);
        },
      ],
      ['onPeerEnd', (_near, far) => far.shutdown(pair.now)],
      ['onClosed', (_near, far) => far.abort(pair.now)],
    ];
    for (const [where, act] of acts) {
      it(`a handler that throws in ${where}: its channel is reset, the other one and the link go on`, () => {
        const other = pair.open();
        const broken = new BrokenSink(where);
        const near = pair.host.mux.open(pair.now, TARGET, broken);
        assert.ok(near !== undefined);
        pair.run();
        const [otherFar, far] = pair.guest.sinks;
        assert.ok(far?.channel !== undefined && otherFar?.channel !== undefined);
        act(near, far.channel);
        pair.run();
        assert.equal(watch.counts.get('channel'), 1);
        assert.equal(broken.log.filter((line) => line !== 'open' && line !== 'end').length, 1);
        // VPNKit's dialect has no reset: a Close is all that the peer gets.
        const ending = mode === 'plain' ? /finished/ : /^protocol/;
        if (where !== 'onClosed') assert.match(far.log.at(-1) ?? '', ending);

        sendAll(pair.now, other.channel, other.sink, MUCH, true);
        pair.run();
        assert.ok(Buffer.from(otherFar.bytes).equals(MUCH));
        assert.equal(other.sink.log.at(-1), 'finished');
        assertWorks();
      });
    }

    it('a request whose answer throws is refused, and the next one is served', () => {
      pair.guest.answer = () => {
        throw new Error('broken');
      };
      const { sink } = open(pair.host, pair.now);
      pair.run();
      assert.equal(watch.counts.get('channel'), 1);
      assert.match(sink.log.at(-1) ?? '', mode === 'plain' ? /^refused/ : /^protocol/);
      assertWorks();
    });
  });
}

describe('mux: faults where nobody watches, as in programs of hawser/mux', () => {
  let pair: Pair;

  beforeEach(() => {
    pair = new Pair();
    pair.run();
  });

  /** Run until it rests, and take what handlers have thrown. */
  function run(): string[] {
    const thrown: string[] = [];
    for (;;) {
      try {
        pair.run();
        return thrown;
      } catch (error) {
        thrown.push(error instanceof Error ? error.message : String(error));
        pair.host.worked = true; // its program has caught it, and goes on
      }
    }
  }

  it("the exception is its caller's; its channel is reset, and the others of the batch hear of theirs", () => {
    const before = pair.open();
    const broken = new BrokenSink('onReadable');
    const near = pair.host.mux.open(pair.now, TARGET, broken);
    assert.ok(near !== undefined);
    const behind = pair.open();
    pair.run();
    const far = pair.guest.sinks.map(({ channel }) => channel ?? assert.fail());
    for (const channel of far) channel.send(pair.now, Uint8Array.of(7), 0, 1);
    assert.deepEqual(run(), ['onReadable is broken']);
    assert.match(broken.log.at(-1) ?? '', /^protocol/);
    assert.match(pair.guest.sinks[1]?.log.at(-1) ?? '', /^protocol/);
    for (const { sink } of [before, behind]) assert.deepEqual([...sink.bytes], [7]);
    for (const channel of [far[0], far[2]]) channel?.send(pair.now, Uint8Array.of(8), 0, 1);
    pair.run();
    for (const { sink } of [before, behind]) assert.deepEqual([...sink.bytes], [7, 8]);
  });

  it('so with requests: the others are asked for', () => {
    let asked = 0;
    const { answer } = pair.guest;
    pair.guest.answer = (now, request) => {
      asked++;
      if (asked === 1) throw new Error('broken');
      answer(now, request);
    };
    const opened = Array.from({ length: 4 }, () => pair.open());
    assert.deepEqual(run(), ['broken']);
    pair.guest.worked = true;
    pair.run();
    assert.equal(asked, 4);
    assert.match(opened[0]?.sink.log.at(-1) ?? '', /^protocol/);
    for (const { sink } of opened.slice(1)) assert.deepEqual(sink.log, ['open']);
  });
});
