/** Loss and recovery. One row a rule. */
import assert from 'node:assert/strict';
import { overBothFamilies } from '../support/family.ts';
import { icmpErrorFrame, l3Of } from '../support/frames.ts';
import { established, PLAIN, Script } from '../support/script.ts';

const MSS = 1460;
const seg = (i: number): number => 1 + i * MSS;
const NO_SACK = { mss: MSS, ws: 7 };
const firstOf = (s: Script): string | undefined => s.out()[0];

/** `n` segments in flight, looked at. */
function inFlight(
  n: number,
  offer: NonNullable<Parameters<typeof established>[0]>['offer'] = PLAIN,
): Script {
  const s = established({ offer }).send(n * MSS);
  assert.equal(s.records().length, n);
  return s;
}

overBothFamilies('stack/tcp loss', ({ version }) => {
  describe('as a receiver', () => {
    it('a duplicate ACK for each segment out of order (RFC 5681 §4.2)', () => {
      const s = established();
      s.in({ seq: seg(1), ack: 1, data: MSS }, { seq: seg(2), ack: 1, data: MSS });
      assert.deepEqual(s.out(), [
        `A 1+0 ack 1 sack ${seg(1)}-${seg(2)}`,
        `A 1+0 ack 1 sack ${seg(1)}-${seg(3)}`,
      ]);
    });

    it('the newest block first (RFC 2018 §4)', () => {
      const s = established();
      for (const i of [2, 6, 4]) s.in({ seq: seg(i), ack: 1, data: MSS });
      assert.match(s.out().at(-1) ?? '', new RegExp(`sack ${seg(4)}-${seg(5)} `));
    });

    it('then those that were reported last, the latest first (RFC 2018 §4)', () => {
      const s = established();
      for (const i of [2, 8, 4, 6]) s.in({ seq: seg(i), ack: 1, data: MSS });
      const block = (i: number): readonly [number, number] => [seg(i), seg(i + 1)];
      assert.deepEqual(s.records().at(-1)?.sack, [block(6), block(4), block(8), block(2)]);
      s.in({ seq: seg(10), ack: 1, data: MSS });
      assert.deepEqual(s.records().at(-1)?.sack, [block(10), block(6), block(4), block(8)]);
      s.in({ seq: seg(3), ack: 1, data: MSS });
      assert.deepEqual(
        s.records().at(-1)?.sack,
        [[seg(2), seg(5)], block(10), block(6), block(8)],
        'and what has become one is reported as one',
      );
    });

    it('a duplicate is named first, once (RFC 2883 §4)', () => {
      const s = established();
      s.in({ seq: 1, ack: 1, data: 100 }).advance(20);
      s.in({ seq: 201, ack: 1, data: 100 });
      s.out();
      s.in({ seq: 1, ack: 1, data: 100 });
      assert.deepEqual(s.out(), ['A 1+0 ack 101 sack 1-101 201-301']);
      s.in({ seq: 201, ack: 1, data: 50 });
      assert.deepEqual(s.out(), ['A 1+0 ack 101 sack 201-251 201-301'], 'also one above the gap');
      s.in({ seq: 301, ack: 1, data: 100 });
      assert.deepEqual(s.out(), ['A 1+0 ack 101 sack 201-401']);
    });

    it('a FIN out of order gets a duplicate ACK like data (RFC 5681 §4.2)', () => {
      const s = established();
      s.in({ flags: 'FA', seq: 101, ack: 1 });
      assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    });

    it('at most four blocks, three with timestamps', () => {
      for (const [offer, blocks] of [
        [PLAIN, 4],
        [{ ...PLAIN, ts: [1, 0] as const }, 3],
      ] as const) {
        const s = established({ offer });
        for (const i of [2, 4, 6, 8, 10]) s.in({ seq: seg(i), ack: 1, data: 100 });
        assert.equal(s.records().at(-1)?.sack.length, blocks);
      }
    });

    it('no blocks when SACK was not offered', () => {
      const s = established({ offer: NO_SACK });
      s.in({ seq: seg(2), ack: 1, data: MSS });
      assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    });

    it('an ACK at once when a gap is filled', () => {
      const s = established();
      s.in({ seq: seg(1), ack: 1, data: MSS });
      s.out();
      s.in({ seq: 1, ack: 1, data: MSS });
      assert.deepEqual(s.out(), [`A 1+0 ack ${seg(2)}`]);
    });

    it('an old segment is acknowledged at once', () => {
      const s = established();
      s.in({ seq: 1, ack: 1, data: 100 }).advance(20);
      s.out();
      s.in({ seq: 1, ack: 1, data: 100 });
      assert.deepEqual(s.out(), ['A 1+0 ack 101 sack 1-101']);
    });

    it('the new part of a segment that overlaps is taken', () => {
      const s = established();
      s.in({ seq: 1, ack: 1, data: 'abcd' }, { seq: 3, ack: 1, data: 'cdef' });
      assert.equal(s.app.text, 'abcdef');
    });

    it('too many holes are counted, and the stream is still exact', () => {
      const s = established();
      for (let i = 1; i <= 140; i++) s.in({ seq: 1 + i * 2, ack: 1, data: Uint8Array.of(i) });
      assert.equal(s.drops()['tcp-too-many-holes'], 12);
      for (let at = 0; at <= 281; at++) {
        const i = at >> 1;
        s.in({ seq: 1 + at, ack: 1, data: Uint8Array.of(at % 2 === 0 ? i : 255) });
      }
      assert.deepEqual(
        s.app.received,
        Array.from({ length: 282 }, (_, at) => (at % 2 === 0 ? at >> 1 : 255)),
      );
    });
  });

  describe('as a sender, with SACK', () => {
    it('retransmits when three segments above are SACKed (RFC 6675)', () => {
      const s = inFlight(8);
      s.in({ seq: 1, ack: 1, sack: [[seg(1), seg(2)]] });
      s.in({ seq: 1, ack: 1, sack: [[seg(1), seg(3)]] });
      assert.deepEqual(s.out(), []);
      s.in({ seq: 1, ack: 1, sack: [[seg(1), seg(4)]] });
      assert.equal(firstOf(s), 'A 1+1460 ack 1');
    });

    it('retransmits each hole, and nothing that was SACKed', () => {
      const s = inFlight(10);
      s.in({
        seq: 1,
        ack: 1,
        sack: [
          [seg(1), seg(2)],
          [seg(3), seg(10)],
        ],
      });
      s.in({ seq: 1, ack: seg(2), sack: [[seg(3), seg(10)]] });
      s.in({ seq: 1, ack: seg(10) });
      const starts = s.records().map((r) => r.seq);
      assert.deepEqual(starts, [seg(0), seg(2)]);
    });

    it('SACK blocks that make no sense are ignored', () => {
      const s = inFlight(4);
      s.in({
        seq: 1,
        ack: seg(1),
        sack: [
          [seg(3), seg(2)],
          [seg(50), seg(60)],
          [seg(0), seg(1)],
        ],
      });
      s.in({
        seq: 1,
        ack: seg(1),
        sack: [
          [seg(0), seg(4)],
          [-5000, seg(2)],
        ],
      });
      assert.deepEqual(s.out(), []);
      s.in({ seq: 1, ack: seg(4) });
      assert.equal(s.flow.describe().retransmits, 0);
    });

    it('halves, more or less, the window once for one episode', () => {
      const s = inFlight(10);
      const before = s.flow.describe().cwndBytes;
      s.in({ seq: 1, ack: 1, sack: [[seg(1), seg(5)]] });
      const after = s.flow.describe().cwndBytes;
      assert.ok(after < before && after >= 0.45 * before);
      s.in({ seq: 1, ack: 1, sack: [[seg(1), seg(9)]] });
      assert.equal(s.flow.describe().cwndBytes, after);
    });

    it('what stands below a SACKed range goes out again when there is nothing new (RFC 6675 §4, rule 3)', () => {
      const s = inFlight(10);
      const sacked = (at: number): readonly [number, number][] => [[seg(at), seg(at + 1)]];
      s.in({ seq: 1, ack: 1, sack: sacked(1) });
      s.in({ seq: 1, ack: 1, sack: [[seg(1), seg(3)]] });
      s.in({
        seq: 1,
        ack: 1,
        sack: [
          [seg(9), seg(10)],
          [seg(1), seg(3)],
        ],
      });
      assert.deepEqual(s.out(), ['A 1+1460 ack 1'], 'the one that is lost');
      // One after the other, as the acknowledgements come, and long before the timeout.
      for (let lost = 3; lost < 9; lost++) {
        s.now += 1;
        s.in({ seq: 1, ack: seg(lost), sack: sacked(9) });
      }
      assert.deepEqual(
        s.records().map((r) => r.seq),
        [3, 4, 5, 6, 7, 8].map(seg),
      );
      s.in({ seq: 1, ack: seg(10) });
      assert.equal(s.flow.describe().retransmits, 7);
    });

    it('not so while there is something new (RFC 6675 §4, rule 2)', () => {
      const s = inFlight(10).send(4 * MSS);
      s.in({
        seq: 1,
        ack: 1,
        sack: [
          [seg(9), seg(10)],
          [seg(1), seg(3)],
        ],
      });
      s.in({ seq: 1, ack: seg(3), sack: [[seg(9), seg(10)]] });
      assert.deepEqual(
        s.records().map((r) => r.seq),
        [0, 10].map(seg),
      );
    });

    it('the tail goes out again once in an episode (RFC 6675 §4, rule 4)', () => {
      const s = inFlight(10);
      s.in({ seq: 1, ack: 1, sack: [[seg(1), seg(7)]] });
      s.in({ seq: 1, ack: seg(7) });
      assert.deepEqual(
        s.records().map((r) => r.seq),
        [0, 9].map(seg),
      );
      s.in({ seq: 1, ack: seg(7), sack: [[seg(9), seg(10)]] });
      assert.deepEqual(
        s.records().map((r) => r.seq),
        [7, 8].map(seg),
        'and what it shows to be missing',
      );
      s.in({ seq: 1, ack: seg(10) });
      assert.deepEqual(s.out(), []);
    });

    it('sends the tail once more before it waits for a timeout (RFC 8985 §7)', () => {
      const s = established();
      s.send(10);
      s.now += 20;
      s.in({ seq: 1, ack: 11 });
      s.records();
      s.send(3 * MSS);
      s.records();
      s.advance(120);
      assert.deepEqual(s.out(), [`PA ${11 + 2 * MSS}+1460 ack 1`]);
      s.advance(60);
      assert.deepEqual(s.out(), [], 'one probe, then the timeout');
      s.in({ seq: 1, ack: 11, sack: [[11 + 2 * MSS, 11 + 3 * MSS]] });
      assert.deepEqual(s.out(), []);
    });

    it('a guest that sends keeps the timeout of ours running', () => {
      const s = established({ tcp: { maxRetransmits: 3 } });
      s.send(10);
      s.now += 20;
      s.in({ seq: 1, ack: 11 });
      s.send(100);
      let at = 1;
      for (let i = 0; i < 400 && s.app.closed === undefined; i++) {
        s.in({ seq: at, ack: 11, data: 2 * MSS }).advance(20);
        at += 2 * MSS;
      }
      assert.equal(s.app.closed, 'timed-out');
    });
  });

  describe('as a sender, without SACK', () => {
    it('retransmits on the third duplicate ACK (RFC 5681 §3.2)', () => {
      const s = inFlight(8, NO_SACK);
      s.in({ seq: 1, ack: 1 }).in({ seq: 1, ack: 1 });
      assert.deepEqual(s.out(), []);
      s.in({ seq: 1, ack: 1 });
      assert.deepEqual(s.out(), ['A 1+1460 ack 1']);
    });

    it('an ACK that changes the window or carries data is no duplicate', () => {
      const s = inFlight(8, NO_SACK);
      s.in({ seq: 1, ack: 1, win: 0xfffe }).in({ seq: 1, ack: 1, win: 0xfffd });
      s.in({ seq: 1, ack: 1, win: 0xfffc, data: 1 }).in({ seq: 2, ack: 1, win: 0xfffc, data: 1 });
      s.in({ seq: 3, ack: 1, win: 0xfffb });
      assert.equal(s.flow.describe().retransmits, 0);
    });

    it('a partial ACK retransmits the next hole (RFC 6582 §3.2)', () => {
      const s = inFlight(8, NO_SACK);
      for (let i = 0; i < 3; i++) s.in({ seq: 1, ack: 1 });
      s.out();
      s.in({ seq: 1, ack: seg(3) });
      assert.equal(firstOf(s), `A ${seg(3)}+1460 ack 1`);
      s.in({ seq: 1, ack: seg(8) });
      assert.deepEqual(s.out(), []);
      assert.equal(s.flow.describe().retransmits, 2);
    });

    it('further duplicates let new segments go', () => {
      const s = inFlight(10, NO_SACK).send(5 * MSS);
      s.records();
      for (let i = 0; i < 9; i++) s.in({ seq: 1, ack: 1 });
      const sent = s.records().map((r) => r.seq);
      const fresh = sent.filter((at) => at !== 1);
      assert.equal(sent.length - fresh.length, 1);
      assert.ok(fresh.length > 2 && fresh.every((at) => at >= seg(10)), `${sent}`);
    });
  });

  describe('the retransmission timeout (RFC 6298)', () => {
    it('is a second before the first sample (§2.1)', () => {
      const s = new Script();
      s.in({ flags: 'S', ...PLAIN });
      s.out();
      s.advance(990);
      assert.deepEqual(s.out(), []);
      s.advance(20);
      assert.deepEqual(s.out(), ['SA 0+0 ack 1']);
    });

    it('is 200 ms at least, however short the round trip', () => {
      const s = established({ offer: NO_SACK }).send(10);
      s.out();
      s.advance(190);
      assert.deepEqual(s.out(), []);
      s.advance(20);
      assert.deepEqual(s.out(), ['PA 1+10 ack 1']);
    });

    it('doubles each time (§5.5), and starts anew with new data (§5.7)', () => {
      const s = established({ offer: NO_SACK });
      s.send(10);
      s.records();
      const times: number[] = [];
      for (let i = 0; i < 4000; i++) {
        s.advance(4);
        if (s.records().length > 0) times.push(s.now);
      }
      const gaps = times.slice(1).map((t, i) => t - (times[i] ?? 0));
      assert.ok(gaps.length >= 4);
      gaps.slice(1).forEach((gap, i) => {
        const ratio = gap / (gaps[i] ?? 1);
        assert.ok(ratio > 1.9 && ratio < 2.1, `${gaps}`);
      });
      s.in({ seq: 1, ack: 11 }).send(10);
      s.records();
      s.advance(1100);
      assert.ok(s.records().length > 0);
    });

    it('a segment sent twice is not timed (Karn)', () => {
      const s = established({ offer: NO_SACK });
      s.send(10);
      const before = s.flow.describe().srttMs;
      s.advance(5000);
      s.in({ seq: 1, ack: 11 });
      assert.equal(s.flow.describe().srttMs, before);
    });

    it('with timestamps the echo times a retransmission (RFC 7323 §4)', () => {
      const s = established({ offer: { ...PLAIN, ts: [1, 0] } });
      s.send(10);
      s.advance(1100);
      const last = s.records().at(-1);
      s.now += 50;
      s.ts = [2, last?.ts?.[0] ?? 0];
      s.in({ seq: 1, ack: 11 });
      assert.ok(s.flow.describe().srttMs > 0);
      assert.ok(s.flow.describe().srttMs < 1000);
    });

    it('deems all lost that is not SACKed, from one segment on', () => {
      const s = inFlight(6);
      s.in({ seq: 1, ack: 1, sack: [[seg(2), seg(3)]] });
      s.records();
      s.advance(260);
      const starts = (): number[] => s.records().map((r) => r.seq);
      const first = starts();
      assert.ok(first.includes(1), `${first}`);
      s.in({ seq: 1, ack: seg(1), sack: [[seg(2), seg(3)]] });
      const then = starts();
      assert.equal(then[0], seg(1));
      assert.ok(!then.includes(seg(2)));
    });

    it('forgets SACKed ranges the second time: the guest may have dropped them (RFC 2018 §8)', () => {
      const s = inFlight(4);
      s.in({ seq: 1, ack: 1, sack: [[seg(1), seg(4)]] });
      s.advance(3000);
      s.records();
      s.in({ seq: 1, ack: seg(1) });
      assert.equal(firstOf(s), `A ${seg(1)}+1460 ack 1`);
    });

    it('gives up after its limit, and calls the handler', () => {
      const s = established({ tcp: { maxRetransmits: 3 } });
      s.send(10);
      s.advance(60_000);
      assert.equal(s.app.closed, 'timed-out');
      assert.equal(s.stack.tcp.pool.inUse, 0);
    });

    it('a guest that is away for long ends with link-down', () => {
      const s = established({ tcp: { linkDownGraceMs: 5000 } });
      s.reader.onLinkDown(s.now);
      s.send(10);
      s.advance(20_000);
      assert.equal(s.app.closed, 'link-down');
    });

    for (const congestion of ['cubic', 'new-reno'] as const) {
      const ssthresh = congestion === 'cubic' ? 7 : 5;
      it(`${congestion}: slow start counts one segment an ACK after it, and stops at ssthresh (RFC 3465 §2.3)`, () => {
        const s = established({ tcp: { congestion } });
        const cwnd = (): number => s.flow.describe().cwndBytes / MSS;
        s.send(10 * MSS);
        s.advance(260);
        assert.equal(cwnd(), 1);
        s.in({ seq: 1, ack: seg(10) });
        assert.equal(cwnd(), 2, 'ten were acknowledged');
        let at = 10;
        const windows: number[] = [];
        for (let i = 0; i < 8; i++) {
          const len = Math.floor(cwnd());
          s.send(len * MSS);
          at += len;
          s.now += 1;
          s.in({ seq: 1, ack: seg(at) });
          windows.push(Math.floor(cwnd()));
        }
        const rising = Array.from({ length: ssthresh - 2 }, (_, i) => 3 + i);
        assert.deepEqual(windows.slice(0, rising.length), rising);
        assert.ok((windows.at(-1) ?? 0) >= ssthresh);
      });

      it(`${congestion}: slow start counts two segments an ACK without one (RFC 3465 §2.2)`, () => {
        const s = established({ tcp: { congestion } });
        s.send(10 * MSS).in({ seq: 1, ack: seg(10) });
        assert.equal(s.flow.describe().cwndBytes, 12 * MSS);
      });
    }

    it('starts slowly again after idling', () => {
      const s = established();
      let at = 1;
      for (let i = 0; i < 12; i++) {
        s.send(40 * MSS);
        for (let j = 0; j < 10; j++) {
          for (const r of s.records()) at = Math.max(at, r.seq + r.data.length);
          s.now += 1;
          s.in({ seq: 1, ack: at });
        }
      }
      const grown = s.flow.describe().cwndBytes;
      assert.ok(grown > 20 * MSS);
      s.advance(10_000);
      s.send(MSS);
      assert.ok(s.flow.describe().cwndBytes <= 10 * MSS);
    });
  });

  // Of IPv6: `ipv6/icmp.test.ts`.
  if (version === 4)
    describe('path MTU (RFC 1191)', () => {
      const tooBig = (s: Script, mtu: number): void => {
        const [frame] = s.writer.take();
        assert.ok(frame);
        s.frames(icmpErrorFrame(3, 4, mtu, l3Of(frame).slice(0, 28)));
      };
      it('a smaller MTU is believed, and what did not fit is sent again', () => {
        const s = established().send(2 * MSS);
        tooBig(s, 1000);
        const sizes = s.records().map((r) => r.data.length);
        assert.ok(sizes.length > 0 && sizes.every((size) => size <= 960), `${sizes}`);
      });

      it('no smaller than 576, no larger than before', () => {
        const small = established().send(MSS);
        tooBig(small, 68);
        assert.deepEqual(
          small.records().map((r) => r.data.length),
          [536, 536, 388],
        );
        const large = established().send(MSS);
        tooBig(large, 9000);
        assert.deepEqual(large.out(), []);
      });

      it('about something not in flight it is not believed (RFC 5927)', () => {
        const s = established().send(MSS);
        const [frame] = s.writer.take();
        assert.ok(frame);
        s.in({ seq: 1, ack: 1 + MSS });
        s.frames(icmpErrorFrame(3, 4, 600, l3Of(frame).slice(0, 28)));
        s.send(MSS);
        assert.deepEqual(
          s.records().map((r) => r.data.length),
          [MSS],
        );
      });
    });
});
