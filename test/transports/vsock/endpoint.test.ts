import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BufferPool } from '../../../src/base/buffer-pool.ts';
import { NEVER } from '../../../src/base/time.ts';
import * as p from '../../../src/transports/vsock/packet.ts';
import type { VsockStream } from '../../../src/transports/vsock/stream.ts';
import { Guest, ops, Recorder } from './guest.ts';

const BOTH = p.SHUTDOWN_RECEIVE | p.SHUTDOWN_SEND;
const bytes = (len: number): Uint8Array =>
  Uint8Array.from({ length: len }, (_, i) => (i * 7) & 255);

function dial(guest: Guest, handler: Recorder, guestPort = 9): VsockStream {
  const stream = guest.endpoint.connect(guest.now, guestPort, handler);
  assert.ok(stream);
  return stream;
}

describe('transports/vsock/endpoint', () => {
  describe('opening', () => {
    it('accepts and refuses what the guest asks for', () => {
      const guest = new Guest();
      const handler = new Recorder();
      const stream = guest.open(handler);
      assert.deepEqual(
        [stream.guestPort, stream.hostPort, stream.openedBy, stream.describe().state],
        [1, 80, 'guest', 'open'],
      );
      assert.deepEqual(guest.send(p.OP_REQUEST, 2, 81), []);
      guest.requests.pop()?.refuse(0);
      const [reset, ...rest] = guest.step();
      assert.deepEqual([reset?.op, reset?.hostPort, reset?.guestPort], ['RST', 81, 2]);
      assert.deepEqual(rest, []);
      assert.equal(guest.endpoint.streamsOpen, 1);
    });

    it('connects to the guest, who answers or refuses', () => {
      const guest = new Guest();
      const handler = new Recorder();
      const stream = dial(guest, handler);
      stream.send(0, bytes(3), 0, 3); // waits for the answer
      const [request, ...rest] = guest.step();
      assert.deepEqual(rest, []);
      assert.deepEqual([request?.op, request?.hostPort, request?.guestPort], ['REQUEST', 5000, 9]);
      assert.equal(request?.bufAlloc, 256 << 10);
      assert.deepEqual(ops(guest.send(p.OP_RESPONSE, 9, 5000)), ['RW']);
      assert.deepEqual(handler.events, ['open']);

      const refused = new Recorder();
      dial(guest, refused);
      guest.step();
      assert.deepEqual(guest.send(p.OP_RST, 9, 5001), []);
      assert.deepEqual(refused.events, ['closed refused']);
    });

    it('gives up in time, either way', () => {
      const guest = new Guest();
      const handler = new Recorder();
      assert.equal(guest.endpoint.nextDeadline, NEVER);
      dial(guest, handler);
      guest.now = 500;
      guest.send(p.OP_REQUEST, 1, 80);
      let cancelled = 0;
      const request = guest.requests.pop();
      assert.ok(request);
      request.onCancelled = () => {
        cancelled++;
      };
      assert.equal(guest.endpoint.nextDeadline, 1000);
      guest.now = 999;
      assert.deepEqual(guest.step(), []);
      guest.now = 1000;
      assert.deepEqual(ops(guest.step()), ['RST']);
      assert.deepEqual(handler.events, ['closed timed-out']);
      assert.equal(guest.endpoint.nextDeadline, 1500);
      guest.now = 1500;
      assert.deepEqual(ops(guest.step()), ['RST']);
      assert.equal(cancelled, 1);
      assert.equal(request.accept(1500, handler), undefined);
      assert.equal(guest.endpoint.streamsOpen, 0);
      assert.equal(guest.endpoint.nextDeadline, NEVER);
    });

    it('cancels a request whose guest has given up, also when it is refused meanwhile', () => {
      const guest = new Guest();
      guest.send(p.OP_REQUEST, 1, 80);
      const request = guest.requests.pop();
      guest.put(p.OP_RST, 1, 80);
      request?.refuse(0);
      assert.deepEqual(guest.step(), []);
      assert.equal(guest.endpoint.streamsOpen, 0);
    });

    it('keeps to its limit of streams', () => {
      const guest = new Guest({ maxStreams: 2 });
      guest.open(new Recorder(), 1);
      dial(guest, new Recorder());
      assert.equal(guest.endpoint.connect(0, 9, new Recorder()), undefined);
      guest.step();
      assert.deepEqual(ops(guest.send(p.OP_REQUEST, 2, 80)), ['RST']);
      assert.equal(guest.endpoint.drops.get('too-many-streams'), 1);
    });

    it('takes a request on known ports for a guest that has forgotten the stream', () => {
      const guest = new Guest();
      const handler = new Recorder();
      guest.open(handler);
      assert.deepEqual(guest.send(p.OP_REQUEST, 1, 80), []);
      assert.deepEqual(handler.events, ['closed reset-by-guest']);
      assert.equal(guest.requests.length, 1);
    });
  });

  describe('bytes', () => {
    it('come to the host, and credit goes back when a quarter has been read', () => {
      const guest = new Guest();
      const handler = new Recorder();
      const stream = guest.open(handler);
      const data = bytes(65_536);
      assert.deepEqual(guest.send(p.OP_RW, 1, 80, { payload: data }), []);
      assert.deepEqual(handler.events, ['readable 65536']);
      assert.deepEqual(stream.readable(), data);
      stream.release(0, 65_535);
      assert.deepEqual(guest.step(), []);
      stream.release(0, 1);
      const [update] = guest.step();
      assert.deepEqual([update?.op, update?.fwdCnt], ['CREDIT_UPDATE', 65_536]);
    });

    it('flow also when the guest has a small buffer, which caps what Linux sends', () => {
      const guest = new Guest();
      const stream = guest.open(new Recorder());
      guest.send(p.OP_RW, 1, 80, { payload: bytes(100), bufAlloc: 400 });
      stream.release(0, 100);
      assert.deepEqual(ops(guest.step()), ['CREDIT_UPDATE']);
    });

    it('announce credit when asked, and with every packet', () => {
      const guest = new Guest();
      const stream = guest.open(new Recorder());
      guest.send(p.OP_RW, 1, 80, { payload: bytes(10) });
      stream.release(0, 10);
      const [update] = guest.send(p.OP_CREDIT_REQUEST, 1, 80);
      assert.deepEqual([update?.op, update?.fwdCnt], ['CREDIT_UPDATE', 10]);
      guest.send(p.OP_RW, 1, 80, { payload: bytes(65_536) });
      stream.release(0, 65_536);
      stream.send(0, bytes(1), 0, 1);
      const [data, ...rest] = guest.step();
      assert.deepEqual([data?.op, data?.fwdCnt], ['RW', 65_546]);
      assert.deepEqual(rest, []);
    });

    it('go to the guest in pieces of its buffers, within its credit', () => {
      const guest = new Guest();
      const handler = new Recorder();
      guest.send(p.OP_REQUEST, 1, 80, { bufAlloc: 10_000 });
      const stream = guest.requests.pop()?.accept(0, handler);
      assert.ok(stream);
      const data = bytes(20_000);
      stream.send(0, data, 0, data.length);
      const first = guest.step();
      assert.deepEqual(ops(first), ['RESPONSE', 'RW', 'RW', 'CREDIT_REQUEST']);
      assert.deepEqual(
        first.map(({ payload }) => payload.length),
        [0, 4096, 4096, 0],
      );
      assert.deepEqual(guest.send(p.OP_CREDIT_UPDATE, 1, 80, { bufAlloc: 10_000 }), []);
      const second = guest.send(p.OP_CREDIT_UPDATE, 1, 80, { bufAlloc: 10_000, fwdCnt: 8192 });
      assert.deepEqual(ops(second), ['RW', 'RW', 'CREDIT_REQUEST']);
      const third = guest.send(p.OP_CREDIT_UPDATE, 1, 80, { bufAlloc: 10_000, fwdCnt: 16_384 });
      const all = [...first, ...second, ...third].flatMap(({ payload }) => [...payload]);
      assert.deepEqual(all, [...data]);
      assert.equal(stream.describe().bytesToGuest, 20_000);
    });

    it('go to a guest with a buffer of a few bytes', () => {
      const guest = new Guest();
      const stream = guest.open(new Recorder());
      guest.send(p.OP_CREDIT_UPDATE, 1, 80, { bufAlloc: 1 });
      stream.send(0, bytes(3), 0, 3);
      const got: number[] = [];
      for (let i = 0; i < 3; i++) {
        for (const packet of guest.step()) got.push(...packet.payload);
        guest.put(p.OP_CREDIT_UPDATE, 1, 80, { bufAlloc: 1, fwdCnt: got.length });
      }
      assert.deepEqual(got, [...bytes(3)]);
    });

    it('wait for buffers of the guest, in turn', () => {
      const guest = new Guest();
      const streams = [1, 2, 3].map((port) => guest.open(new Recorder(), port));
      guest.buffers = 0;
      for (const stream of streams) stream.send(0, bytes(8192), 0, 8192);
      assert.deepEqual(guest.step(), []);
      guest.buffers = 4;
      assert.deepEqual(
        guest.step().map(({ guestPort }) => guestPort),
        [1, 2, 3, 1],
      );
      guest.buffers = 4;
      assert.deepEqual(
        guest
          .step()
          .map(({ guestPort }) => guestPort)
          .toSorted(),
        [2, 3],
      );
    });

    it('announce space once it is free, and accept what is sent then', () => {
      const guest = new Guest();
      const handler = new Recorder();
      const stream = guest.open(handler);
      let more = 2;
      handler.onWritableDo = (now, flow) => {
        flow.send(now, bytes(flow.sendSpace), 0, flow.sendSpace);
        if (more-- > 0) flow.wantSpace(32_768);
      };
      assert.equal(stream.sendSpace, 65_536);
      stream.send(0, bytes(65_536), 0, 65_536);
      assert.equal(stream.sendSpace, 0);
      stream.wantSpace(32_768);
      const sent = guest.step();
      assert.equal(handler.events.filter((event) => event === 'writable').length, 3);
      const total = sent.reduce((sum, { payload }) => sum + payload.length, 0);
      assert.ok(total > 100_000 && total <= 256 << 10);
    });

    it('counts wrap around 2^32', () => {
      const guest = new Guest({ pool: new BufferPool(64 << 20) });
      const handler = new Recorder();
      const stream = guest.open(handler);
      const chunk = bytes(65_536);
      let read = 0;
      for (let i = 0; i < 66_000; i++) {
        guest.put(p.OP_RW, 1, 80, { payload: chunk });
        stream.release(0, chunk.length);
        read = (read + chunk.length) | 0;
        if (i % 3000 !== 0) continue;
        const announced = guest.step().at(-1)?.fwdCnt;
        assert.equal(announced, read);
      }
      assert.equal(read, 66_000 * 65_536 - 2 ** 32);
      assert.equal(guest.endpoint.drops.get('beyond-credit'), 0);
    });
  });

  describe('ends', () => {
    it('half-close either way, then all, with a reset to finish', () => {
      const guest = new Guest();
      const handler = new Recorder();
      const stream = guest.open(handler);
      stream.send(0, bytes(3), 0, 3);
      stream.shutdown(0);
      const [data, end] = guest.step();
      assert.deepEqual([data?.op, end?.op, end?.flags], ['RW', 'SHUTDOWN', p.SHUTDOWN_SEND]);
      assert.equal(stream.describe().state, 'half-closed');
      guest.put(p.OP_RW, 1, 80, { payload: bytes(5), fwdCnt: 3 });
      guest.put(p.OP_SHUTDOWN, 1, 80, { flags: p.SHUTDOWN_SEND, fwdCnt: 3 });
      assert.deepEqual(ops(guest.step()), ['RST']);
      assert.deepEqual(handler.events, ['readable 5', 'end']);
      stream.release(0, 5);
      guest.step();
      assert.deepEqual(handler.events, ['readable 5', 'end', 'closed finished']);
    });

    it('the guest first', () => {
      const guest = new Guest();
      const handler = new Recorder();
      const stream = guest.open(handler);
      guest.send(p.OP_SHUTDOWN, 1, 80, { flags: p.SHUTDOWN_SEND });
      stream.send(0, bytes(3), 0, 3);
      stream.shutdown(0);
      assert.deepEqual(ops(guest.step()), ['RW', 'SHUTDOWN', 'RST']);
      assert.deepEqual(handler.events, ['end', 'closed finished']);
      assert.equal(guest.endpoint.streamsOpen, 0);
      assert.equal(guest.pool.inUse, 0);
    });

    it('a closed guest is reset at once; what it sent is still read', () => {
      const guest = new Guest();
      const handler = new Recorder();
      const stream = guest.open(handler);
      guest.put(p.OP_RW, 1, 80, { payload: bytes(5) });
      assert.deepEqual(ops(guest.send(p.OP_SHUTDOWN, 1, 80, { flags: BOTH })), ['RST']);
      assert.deepEqual(stream.readable(), bytes(5));
      stream.release(0, 5);
      stream.shutdown(0);
      guest.step();
      assert.deepEqual(handler.events, ['readable 5', 'end', 'closed finished']);
    });

    it('what is sent to a closed guest is lost, and the stream is reset once all was read', () => {
      const guest = new Guest();
      const handler = new Recorder();
      const stream = guest.open(handler);
      guest.put(p.OP_RW, 1, 80, { payload: bytes(5) });
      guest.send(p.OP_SHUTDOWN, 1, 80, { flags: BOTH });
      stream.send(0, bytes(1), 0, 1);
      guest.step();
      assert.deepEqual(handler.events, ['readable 5', 'end']);
      stream.release(0, 5);
      guest.step();
      assert.deepEqual(handler.events.at(-1), 'closed reset-by-guest');
    });

    it('resets, from the guest and from the host', () => {
      const guest = new Guest();
      const handler = new Recorder();
      const stream = guest.open(handler);
      guest.send(p.OP_RW, 1, 80, { payload: bytes(5) });
      guest.send(p.OP_RST, 1, 80);
      assert.deepEqual(handler.events, ['readable 5', 'closed reset-by-guest']);
      stream.send(0, bytes(1), 0, 1);
      stream.shutdown(0);
      stream.release(0, 5);
      assert.deepEqual(guest.step(), []);

      const other = new Recorder();
      const aborted = guest.open(other);
      aborted.send(0, bytes(5), 0, 5);
      aborted.abort(0);
      assert.deepEqual(ops(guest.step()), ['RST']);
      assert.deepEqual(other.events, []);
      assert.equal(guest.pool.inUse, 0);
    });

    it('nothing survives a guest that restarts', () => {
      const guest = new Guest();
      const handlers = [new Recorder(), new Recorder()] as const;
      guest.open(handlers[0]);
      dial(guest, handlers[1]);
      guest.send(p.OP_REQUEST, 7, 7);
      guest.take();
      guest.endpoint.reset(0);
      assert.deepEqual(guest.take(), []);
      assert.deepEqual(handlers[0].events, ['closed link-down']);
      assert.deepEqual(handlers[1].events, ['closed link-down']);
      assert.equal(guest.endpoint.streamsOpen, 0);
    });

    it('announces work once until it is done', () => {
      const guest = new Guest();
      const stream = guest.open(new Recorder());
      const before = guest.works;
      stream.send(0, bytes(1), 0, 1);
      stream.send(0, bytes(1), 0, 1);
      stream.shutdown(0);
      assert.equal(guest.works, before + 1);
      guest.step();
      stream.abort(0);
      assert.equal(guest.works, before + 2);
    });
  });

  describe('a hostile guest', () => {
    const cases: readonly [string, string, (guest: Guest) => string[]][] = [
      ['sends as another', 'bad-source', (g) => ops(g.send(p.OP_RW, 1, 80, { src: 43 }))],
      ['sends to nobody', 'bad-destination', (g) => ops(g.send(p.OP_RW, 1, 80, { dst: 1 }))],
      ['sends messages', 'bad-type', (g) => ops(g.send(p.OP_RW, 1, 80, { type: 2 }))],
      ['sends on no stream', 'no-connection', (g) => ops(g.send(p.OP_RW, 2, 80))],
      ['sends nonsense', 'bad-op', (g) => ops(g.send(99, 1, 80))],
      ['claims more than it sends', 'truncated', (g) => ops(g.send(p.OP_RW, 1, 80, { len: 1 }))],
      ['answers itself', 'unexpected', (g) => ops(g.send(p.OP_RESPONSE, 1, 80))],
      ['takes what was not sent', 'bad-credit', (g) => ops(g.send(p.OP_RW, 1, 80, { fwdCnt: 1 }))],
      [
        'sends more than it may',
        'beyond-credit',
        (g) => {
          for (let i = 0; i < 4; i++) g.put(p.OP_RW, 1, 80, { payload: bytes(65_536) });
          return ops(g.send(p.OP_RW, 1, 80, { payload: bytes(1) }));
        },
      ],
      [
        'sends after its end',
        'beyond-credit',
        (g) => {
          g.put(p.OP_SHUTDOWN, 1, 80, { flags: p.SHUTDOWN_SEND });
          return ops(g.send(p.OP_RW, 1, 80, { payload: bytes(1) }));
        },
      ],
    ];
    for (const [what, drop, act] of cases) {
      it(`${what}: ${drop}`, () => {
        const guest = new Guest();
        guest.open(new Recorder());
        assert.deepEqual(act(guest), drop === 'bad-source' ? [] : ['RST']);
        assert.deepEqual(guest.endpoint.drops.snapshot(), { [drop]: 1 });
      });
    }

    it('gets only so many resets', () => {
      const guest = new Guest({ maxStreams: 2 });
      guest.buffers = 0;
      for (let i = 0; i < 300; i++) guest.send(p.OP_RW, i, 80);
      assert.equal(guest.endpoint.drops.get('too-many-resets'), 300 - 258);
      guest.buffers = 1000;
      assert.equal(guest.step().length, 258);
    });

    it('gets a smaller window while memory is short, and is reset when there is none', () => {
      const guest = new Guest({ pool: new BufferPool(128 << 10) });
      const first = new Recorder();
      guest.open(first, 1);
      guest.send(p.OP_RW, 1, 80, { payload: bytes(65_536) });
      assert.deepEqual(ops(guest.send(p.OP_RW, 1, 80, { payload: bytes(1) })), ['RST']);
      assert.deepEqual(first.events, ['readable 65536', 'closed reset-by-host']);
      assert.equal(guest.endpoint.drops.get('no-memory'), 1);
      assert.equal(guest.pool.inUse, 0);
    });

    it('never makes it throw, whatever it sends, and leaves no memory behind', () => {
      const packet = fc.record({
        op: fc.integer({ min: 0, max: 8 }),
        guestPort: fc.constantFrom(1, 2, 9),
        hostPort: fc.constantFrom(80, 5000, 5001),
        fwdCnt: fc.constantFrom(0, 0, 0, 5, 100),
        bufAlloc: fc.constantFrom(0, 1, 10_000, 0xffff_ffff),
        flags: fc.integer({ min: 0, max: 3 }),
        len: fc.constantFrom(0, 1, 100, 65_536),
        act: fc.integer({ min: 0, max: 9 }),
      });
      fc.assert(
        fc.property(fc.array(packet, { maxLength: 60 }), (run) => {
          const guest = new Guest();
          const streams: VsockStream[] = [];
          for (const { op, guestPort, hostPort, len, act, ...rest } of run) {
            guest.put(op, guestPort, hostPort, { ...rest, payload: new Uint8Array(len) });
            guest.now += act;
            guest.buffers = act;
            for (const request of guest.requests.splice(0)) {
              const stream = request.accept(guest.now, new Recorder());
              if (stream !== undefined) streams.push(stream);
            }
            const stream = streams[act % 4];
            if (act === 0) {
              const dialled = guest.endpoint.connect(guest.now, 9, new Recorder());
              if (dialled !== undefined) streams.push(dialled);
            } else if (act < 4)
              stream?.send(guest.now, bytes(100), 0, Math.min(100, stream.sendSpace));
            else if (act === 4) stream?.shutdown(guest.now);
            else if (act === 5) stream?.abort(guest.now);
            else if (act === 6) stream?.release(guest.now, stream.receivedLen);
            else if (act === 7) stream?.wantSpace(1000);
            else guest.step();
          }
          guest.endpoint.reset(guest.now);
          assert.equal(guest.endpoint.streamsOpen, 0);
          // Those that ended with bytes unread are over only when the application has let them go.
          for (const stream of streams) stream.abort(guest.now);
          guest.step();
          assert.equal(guest.pool.inUse, 0);
        }),
        { numRuns: 300 },
      );
    });
  });
});
