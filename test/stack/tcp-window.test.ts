/** Flow control, acknowledging, probes. One row a rule. */
import assert from 'node:assert/strict';
import { overBothFamilies } from '../support/family.ts';
import type { TcpRecord } from '../support/frames.ts';
import { frameOver } from '../support/lend.ts';
import { established, PLAIN, type Script } from '../support/script.ts';

const MSS = 1460;
/** Small enough that the SYN-ACK announces all of it. */
const SMALL = { tcp: { initialWindow: 65_536, maxWindow: 65_536 } };
const edgeOf = (r: TcpRecord): number => r.ack + (r.win << 7);

/** Send as much as the advertised window takes, from `from`; returns the next number. */
function fill(s: Script, from: number, bytes: number): number {
  let at = from;
  while (at < from + bytes) {
    const len = Math.min(MSS, from + bytes - at);
    s.in({ seq: at, ack: 1, data: len });
    at += len;
  }
  return at;
}

overBothFamilies('stack/tcp windows', () => {
  describe('receiving', () => {
    it('acknowledges every second full segment at once (RFC 9293 §3.8.6.3)', () => {
      const s = established(SMALL);
      s.in({ seq: 1, ack: 1, data: MSS });
      assert.deepEqual(s.out(), []);
      s.in({ seq: 1461, ack: 1, data: MSS });
      assert.deepEqual(s.out(), ['A 1+0 ack 2921']);
    });

    it('acknowledges more than one segment at once, though a card made one frame of them', () => {
      const s = established({ mtu: 9000 });
      s.in({ seq: 1, ack: 1, data: 8000 }).out();
      s.in({ seq: 8001, ack: 1, data: MSS + 1 });
      assert.deepEqual(s.out(), [`A 1+0 ack ${8002 + MSS}`]);
      s.in({ seq: 8002 + MSS, ack: 1, data: MSS });
      assert.deepEqual(s.out(), [], 'one waits for more, or for the answer');
    });

    it('acknowledges a single segment after the delay', () => {
      const s = established(SMALL);
      s.in({ seq: 1, ack: 1, data: 10 });
      assert.deepEqual(s.out(), []);
      s.advance(20);
      assert.deepEqual(s.out(), ['A 1+0 ack 11']);
    });

    it('acknowledges a batch once', () => {
      const s = established();
      const batch = Array.from({ length: 20 }, (_, i) => ({ seq: 1 + i * MSS, ack: 1, data: MSS }));
      s.in(...batch);
      assert.deepEqual(s.out(), ['A 1+0 ack 29201']);
    });

    it('data carries the acknowledgement', () => {
      const s = established(SMALL);
      s.in({ seq: 1, ack: 1, data: 10 });
      s.send('reply');
      assert.deepEqual(s.out(), ['PA 1+5 ack 11']);
      s.advance(100);
      assert.ok(s.out().every((line) => !line.startsWith('A ')));
    });

    it('closes the window on a reader that stops, and bounds what it keeps', () => {
      const s = established(SMALL);
      s.app.hold = true;
      fill(s, 1, 65_000);
      s.advance(20);
      let last = s.records().at(-1);
      assert.ok(last && last.win <= 4);
      fill(s, 65_001, 200_000);
      last = s.records().at(-1);
      assert.equal(last?.win, 0);
      assert.ok(s.flow.receivedLen <= 65_536);
      assert.equal(s.stack.tcp.pool.inUse, 65_536);
      assert.equal(s.app.closed, undefined);
    });

    it('a guest that sends byte by byte cannot push the window along', () => {
      const s = established(SMALL);
      s.app.hold = true;
      let at = fill(s, 1, 65_000);
      for (let i = 0; i < 2000; i++) s.in({ seq: at++, ack: 1, data: 1 }).advance(12);
      assert.ok(s.flow.receivedLen <= 65_536, `${s.flow.receivedLen}`);
      assert.equal(s.stack.tcp.pool.inUse, 65_536);
    });

    it('the right edge never moves back by more than the scale’s grain (RFC 7323 §2.4)', () => {
      const s = established(SMALL);
      s.app.hold = true;
      let edge = 0;
      let at = 1;
      for (let i = 0; i < 400; i++) {
        const len = 1 + ((i * 7919) % MSS);
        s.in({ seq: at, ack: 1, data: len });
        at = 1 + s.flow.describe().bytesToHost;
        if (i % 5 === 0) s.app.read(s.now, (i * 31) % 3000);
        for (const r of s.records()) {
          assert.ok(edgeOf(r) > edge - 128, `step ${i}: ${edgeOf(r)} after ${edge}`);
          edge = Math.max(edge, edgeOf(r));
        }
      }
      assert.equal(s.drops()['tcp-no-memory'], undefined);
    });

    it('announces a reopened window at once, but not of a few bytes (RFC 9293 §3.8.6.2.2)', () => {
      const s = established(SMALL);
      s.app.hold = true;
      fill(s, 1, 70_000);
      s.records();
      s.app.read(s.now, 1000);
      assert.deepEqual(s.out(), [], 'less than two segments');
      s.app.read(s.now, 2500);
      const [update] = s.records();
      assert.ok(update && update.win > 0);
      s.app.read(s.now, 5000);
      assert.deepEqual(s.out(), []);
      s.app.read(s.now, 20_000);
      assert.equal(s.out().length, 1);
    });

    it('answers probes of a closed window with that window (RFC 9293 §3.8.6.1)', () => {
      const s = established(SMALL);
      s.app.hold = true;
      const before = fill(s, 1, 200_000);
      s.records();
      const at = 1 + s.flow.receivedLen;
      assert.ok(before > at);
      for (const probe of [
        { seq: at - 1, data: 0 },
        { seq: at - 1, data: 1 },
        { seq: at, data: 1 },
      ]) {
        s.in({ ...probe, ack: 1 });
        const [answer] = s.records();
        assert.equal(answer?.win, 0);
        assert.equal(answer.ack, at);
      }
    });

    it('takes ACKs through a closed window', () => {
      const s = established(SMALL);
      s.app.hold = true;
      fill(s, 1, 200_000);
      const at = 1 + s.flow.receivedLen;
      s.send(100);
      s.in({ seq: at, ack: 101 });
      assert.equal(s.flow.describe().bufferedToGuest, 0);
    });

    it('takes an ACK from the right edge of a window with a hole', () => {
      const s = established(SMALL);
      s.send(100);
      const [r] = s.records();
      assert.ok(r);
      s.in({ seq: edgeOf(r), ack: 101 });
      assert.equal(s.flow.describe().bufferedToGuest, 0);
    });

    it('grows the window while the host keeps up, and not when it does not', () => {
      const grown = established({ tcp: { initialWindow: 65_536 } });
      fill(grown, 1, 1_000_000);
      const wide = grown.records().at(-1);
      assert.ok(wide && wide.win << 7 > 500_000);
      const idle = established({ tcp: { initialWindow: 65_536 } });
      idle.app.hold = true;
      fill(idle, 1, 1_000_000);
      assert.ok(idle.flow.receivedLen <= 65_536);
    });

    it('without a scale the window stays in 16 bits and updates stay rare', () => {
      const s = established({ offer: { mss: MSS } });
      let updates = 0;
      for (let at = 1; at < 2_000_000; at += MSS) {
        s.in({ seq: at, ack: 1, data: MSS });
        for (const r of s.records()) {
          assert.ok(r.win > 60_000);
          updates++;
        }
      }
      assert.ok(updates < 1000, `${updates} ACKs for 1370 segments`);
    });
  });

  describe('sending', () => {
    it('never sends beyond the window', () => {
      const s = established({ offer: { ...PLAIN, win: 40 } }).send(20_000);
      const end = s.records().reduce((most, r) => Math.max(most, r.seq + r.data.length), 0);
      assert.ok(end <= 1 + 40 * 128, `${end}`);
    });

    it('probes a closed window with back-off, for ever while it is answered', () => {
      const s = established();
      s.in({ seq: 1, ack: 1, win: 0 });
      s.send('waiting');
      assert.deepEqual(s.out(), []);
      const times: number[] = [];
      for (let i = 0; i < 3000; i++) {
        s.advance(100);
        const sent = s.out();
        if (sent.length === 0) continue;
        assert.deepEqual(sent, ['A 0+0 ack 1']);
        times.push(s.now);
        s.in({ seq: 1, ack: 1, win: 0 });
      }
      const gaps = times.slice(1).map((t, i) => t - (times[i] ?? 0));
      assert.ok(gaps.length >= 5);
      assert.ok(
        gaps.every((gap, i) => gap >= (gaps[i - 1] ?? 0)),
        `${gaps}`,
      );
      assert.ok((gaps.at(-1) ?? 0) <= 61_000);
      s.in({ seq: 1, ack: 1, win: 10 });
      assert.deepEqual(s.out(), ['PA 1+7 ack 1']);
    });

    it('the first probe comes when the window has been closed for a timeout (RFC 9293 §3.8.6.1)', () => {
      const s = established();
      s.send('x');
      s.now += 50;
      s.in({ seq: 1, ack: 2 }).out();
      s.advance(5000); // long after the last segment
      s.in({ seq: 1, ack: 2, win: 0 });
      s.send('waiting');
      s.advance(190);
      assert.deepEqual(s.out(), []);
      s.advance(200);
      assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    });

    it('gives up on a closed window that nobody answers for', () => {
      const s = established({ tcp: { keepaliveProbes: 3 } });
      s.in({ seq: 1, ack: 1, win: 0 });
      s.send('waiting');
      s.advance(60_000);
      assert.equal(s.app.closed, 'timed-out');
    });

    it('a FIN waits for a closed window like data', () => {
      const s = established();
      s.in({ seq: 1, ack: 1, win: 0 });
      s.flow.shutdown(s.now);
      assert.deepEqual(s.out(), []);
      s.in({ seq: 1, ack: 1, win: 1 });
      assert.deepEqual(s.out(), ['FA 1+0 ack 1']);
    });

    it('no silly segments into a window that opens by a few bytes (RFC 9293 §3.8.6.2.1)', () => {
      const s = established().send(20 * MSS);
      const [first] = s.records();
      assert.ok(first);
      s.in({ seq: 1, ack: 10 * MSS + 1, win: 8 }); // 1024 bytes
      assert.deepEqual(s.out(), []);
      s.in({ seq: 1, ack: 10 * MSS + 1, win: 12 });
      assert.deepEqual(s.out(), [`A ${10 * MSS + 1}+1460 ack 1`]);
    });

    it('a window that stays small is used after a while', () => {
      const s = established({ offer: { ...PLAIN, win: 0xffff } });
      s.in({ seq: 1, ack: 1, win: 4 });
      s.send(2000);
      assert.deepEqual(s.out(), []);
      s.advance(1100);
      assert.deepEqual(s.out().slice(0, 1), ['A 1+512 ack 1']);
      s.in({ seq: 1, ack: 513, win: 4 }).advance(1100);
      assert.deepEqual(s.out().slice(0, 1), ['A 513+512 ack 1']);
    });

    it('an old segment does not change the window (RFC 9293 §3.10.7.4)', () => {
      const s = established();
      s.in({ seq: 1, ack: 1, data: 10, win: 100 });
      s.in({ seq: 1, ack: 1, data: 10, win: 0 });
      s.in({ seq: 11, ack: 1, win: 100 });
      s.out();
      s.send('x');
      assert.deepEqual(s.out(), ['PA 1+1 ack 11']);
    });

    it('asks for more when there is space, once', () => {
      const s = established();
      const space = s.flow.sendSpace;
      s.send(space);
      assert.equal(s.flow.sendSpace, 0);
      s.flow.wantSpace(10_000);
      s.records();
      s.in({ seq: 1, ack: 1 + MSS });
      assert.deepEqual(s.app.events, []);
      s.in({ seq: 1, ack: 1 + 10 * MSS });
      assert.deepEqual(s.app.events, ['writable']);
      s.in({ seq: 1, ack: 1 + 10 * MSS });
      assert.deepEqual(s.app.events, ['writable']);
    });

    it('small writes go out as they come', () => {
      const s = established();
      s.send('a').send('b').send('c');
      assert.deepEqual(s.out(), ['PA 1+1 ack 1', 'PA 2+1 ack 1', 'PA 3+1 ack 1']);
    });

    it('hands large segments to a link that cuts them, in whole segments', () => {
      const s = established({ offer: { ...PLAIN, win: 0xffff } });
      s.writer.offload = true;
      s.send(10 * MSS + 7);
      const sizes = s.records().map((r) => r.data.length);
      assert.deepEqual(sizes, [10 * MSS]);
      assert.deepEqual(s.writer.gsoSizes, [MSS]);
      s.in({ seq: 1, ack: 1 + 10 * MSS });
      assert.deepEqual(
        s.records().map((r) => r.data.length),
        [7],
      );
      assert.deepEqual(s.writer.gsoSizes, [MSS, 0]);
    });
  });

  describe('a link that is full', () => {
    it('holds data back and goes on when it drains', () => {
      const s = established();
      s.writer.room = 2;
      s.send(5 * MSS);
      assert.deepEqual(s.out(), ['A 1+1460 ack 1', 'A 1461+1460 ack 1']);
      s.writer.room = Number.POSITIVE_INFINITY;
      s.reader.onWritable(s.now);
      assert.equal(s.records().length, 3);
    });

    it('a guest that is paused for long loses nothing', () => {
      const s = established();
      s.writer.full = true;
      s.send(5 * MSS);
      s.advance(4 * 60_000);
      assert.equal(s.app.closed, undefined);
      s.writer.full = false;
      s.reader.onWritable(s.now);
      assert.equal(s.records().length, 5);
    });

    it('holds an ACK back and sends it when it drains', () => {
      const s = established();
      s.writer.full = true;
      s.in({ seq: 1, ack: 1, data: 10 }).advance(20);
      s.writer.full = false;
      s.reader.onWritable(s.now);
      assert.deepEqual(s.out(), ['A 1+0 ack 11']);
    });

    it('a link that goes down while full does not stall its connections', () => {
      const s = established();
      s.writer.full = true;
      s.send(5 * MSS);
      s.reader.onLinkDown(s.now);
      s.reader.onLinkDown(s.now);
      s.writer.full = false;
      const again = s.stack.attach(s.now, 'again', s.writer);
      assert.ok(again);
      const frame = s.segment({ seq: 1, ack: 1 });
      again.onFrame(s.now, frameOver(frame));
      again.onBatchEnd(s.now);
      s.advance(2000);
      assert.ok(s.records().length > 0);
    });
  });

  describe('what the host says in one turn', () => {
    const say = (s: Script, len: number): void =>
      s.app.flow?.send(s.now, new Uint8Array(len), 0, len);

    it('in small pieces is one segment, which goes with the flush', () => {
      const s = established();
      for (let i = 0; i < 5; i++) say(s, 20);
      assert.deepEqual(s.out(), []);
      s.stack.flush();
      assert.deepEqual(s.out(), ['PA 1+100 ack 1']);
      s.stack.flush();
      assert.deepEqual(s.out(), []);
    });

    it('goes out at once as far as it fills segments; the next piece completes the rest', () => {
      const s = established();
      say(s, 2 * MSS + 100);
      assert.deepEqual(s.out(), ['A 1+1460 ack 1', 'A 1461+1460 ack 1']);
      say(s, MSS);
      assert.deepEqual(s.out(), ['A 2921+1460 ack 1']);
      s.stack.flush();
      assert.deepEqual(s.out(), ['PA 4381+100 ack 1']);
    });

    it('and its end are one segment', () => {
      const s = established();
      say(s, 100);
      s.app.flow?.shutdown(s.now);
      s.stack.flush();
      assert.deepEqual(s.out(), ['FPA 1+100 ack 1']);
    });

    it('is forgotten with the connection', () => {
      const s = established();
      say(s, 100);
      s.app.flow?.abort(s.now);
      s.stack.flush();
      assert.deepEqual(s.out(), ['RA 1+0 ack 1']);
    });

    it('waits for a full link, and then goes', () => {
      const s = established();
      s.writer.full = true;
      say(s, 100);
      s.stack.flush();
      s.writer.full = false;
      s.reader.onWritable(s.now);
      assert.deepEqual(s.out(), ['PA 1+100 ack 1']);
    });

    it('may be written in place, and is gone with the connection too', () => {
      const s = established();
      const { flow } = s.app;
      const space = flow?.reserve(1_000);
      assert.ok(space !== undefined && space.length >= 1_000);
      space.fill(7, 0, 50);
      flow?.fill(s.now, 50);
      s.stack.flush();
      assert.deepEqual(s.out(), ['PA 1+50 ack 1']);
      assert.ok(flow?.reserve(1_000) !== undefined);
      flow?.abort(s.now);
      flow?.fill(s.now, 50);
      s.stack.flush();
      assert.deepEqual(s.out(), ['RA 51+0 ack 1']);
      assert.equal(flow?.reserve(1), undefined);
      assert.equal(s.stack.tcp.pool.inUse, 0);
    });
  });
});
