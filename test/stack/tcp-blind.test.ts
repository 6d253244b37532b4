/** Attacks from off the path and stale segments: RFC 5961, RFC 7323 PAWS. One row a rule. */
import assert from 'node:assert/strict';
import { overBothFamilies } from '../support/family.ts';
import { established, PLAIN } from '../support/script.ts';

const TS = { ...PLAIN, ts: [1000, 0] as const };

overBothFamilies('stack/tcp blind segments', () => {
  it('a reset in the window, but not exact, is challenged (RFC 5961 §3.2)', () => {
    const s = established();
    s.in({ flags: 'R', seq: 2 });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    assert.equal(s.drops()['tcp-challenged'], 1);
    s.in({ flags: 'R', seq: 1 });
    assert.equal(s.app.closed, 'reset-by-guest');
  });

  it('a reset outside the window is dropped in silence', () => {
    const s = established();
    s.in({ flags: 'R', seq: -5 });
    s.in({ flags: 'R', seq: 50_000_000 });
    assert.deepEqual(s.out(), []);
    assert.equal(s.app.closed, undefined);
  });

  it('a reset at the right edge of the window is outside of it (RFC 9293 §3.10.7.4, table 6)', () => {
    const s = established({ tcp: { initialWindow: 65_536, maxWindow: 65_536 } });
    s.in({ seq: 1, ack: 1, data: 1 }).advance(20);
    const [r] = s.records();
    assert.ok(r);
    const edge = r.ack + (r.win << 7);
    s.in({ flags: 'R', seq: edge });
    assert.deepEqual(s.out(), []);
    s.in({ flags: 'R', seq: edge - 1 });
    assert.equal(s.out().length, 1, 'a challenge, one number before');
  });

  it('a SYN in the window is challenged, not obeyed (RFC 5961 §4.2)', () => {
    const s = established();
    s.in({ flags: 'S', seq: 5, ...PLAIN });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    assert.equal(s.app.closed, undefined);
  });

  it('an ACK of what was never sent is challenged (RFC 5961 §5.2)', () => {
    const s = established();
    s.in({ seq: 1, ack: 100, data: 'evil' });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    assert.equal(s.app.text, '');
  });

  it('an ACK older than the largest window is challenged (RFC 5961 §5.2)', () => {
    const s = established({ offer: { ...PLAIN, win: 10 } });
    s.in({ seq: 1, ack: 1 - 2000, data: 'evil' });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    assert.equal(s.app.text, '');
  });

  it('challenges are limited to 200 a second (RFC 5961 §7)', () => {
    const s = established();
    for (let i = 0; i < 300; i++) s.in({ flags: 'R', seq: 2 });
    assert.equal(s.out().length, 200);
    assert.equal(s.drops()['tcp-challenge-rate-limited'], 100);
    s.advance(1000);
    s.in({ flags: 'R', seq: 2 });
    assert.equal(s.out().length, 1);
  });

  it('data outside the window is answered with where we are', () => {
    const s = established();
    s.in({ seq: 30_000_000, ack: 1, data: 'far' });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    assert.equal(s.drops()['tcp-out-of-window'], 1);
  });

  it('a segment without ACK is ignored', () => {
    const s = established();
    s.in({ flags: 'F', seq: 1, data: 'x' });
    assert.deepEqual(s.out(), []);
    assert.equal(s.app.text, '');
  });

  it('nothing after the FIN is taken', () => {
    const s = established();
    s.in({ flags: 'FA', seq: 1, ack: 1 });
    s.in({ seq: 2, ack: 1, data: 'after' });
    assert.equal(s.app.text, '');
  });

  it('an old timestamp drops the segment and is answered (RFC 7323 §5.3)', () => {
    const s = established({ offer: TS });
    s.in({ seq: 1, ack: 1, data: 'old', ts: [999, 0] });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    assert.equal(s.app.text, '');
    assert.equal(s.drops()['tcp-old-timestamp'], 1);
  });

  it('a reset is believed whatever its timestamp', () => {
    const s = established({ offer: TS });
    s.in({ flags: 'R', seq: 1, ts: [1, 0] });
    assert.equal(s.app.closed, 'reset-by-guest');
  });

  it('a segment without the timestamps agreed on is taken, as by Linux', () => {
    const s = established({ offer: TS });
    s.ts = undefined;
    s.in({ seq: 1, ack: 1, data: 'none' });
    assert.equal(s.app.text, 'none');
    const [ack] = s.advance(20).records();
    assert.deepEqual([ack?.ack, ack?.ts?.[1]], [5, 1000], 'and the last one seen is echoed');
    s.in({ seq: 5, ack: 1, data: 'old', ts: [999, 0] });
    assert.equal(s.app.text, 'none', 'those that have one are still compared');
  });

  it('after 24 days of silence an old timestamp is taken (RFC 7323 §5.5)', () => {
    const s = established({ offer: TS, tcp: { keepaliveIdleMs: 1e12 } });
    s.now += 25 * 86_400_000;
    s.stack.onTimeout(s.now);
    s.in({ seq: 1, ack: 1, data: 'hi', ts: [5, 0] });
    assert.equal(s.app.text, 'hi');
  });

  it('echoes the timestamp of the segment that made the ACK due (RFC 7323 §4.3)', () => {
    const s = established({ offer: TS });
    s.in({ seq: 1, ack: 1, data: 'a', ts: [1001, 0] });
    s.in({ seq: 3, ack: 1, data: 'c', ts: [1003, 0] });
    assert.equal(s.records().at(-1)?.ts?.[1], 1001, 'not that of a segment out of order');
    s.in({ seq: 2, ack: 1, data: 'b', ts: [1005, 0] });
    assert.equal(s.records().at(-1)?.ts?.[1], 1005);
  });

  it('timestamps advance by one a millisecond, also across their wrap', () => {
    const s = established({ offer: { ...PLAIN, ts: [-2, 0] } });
    s.in({ seq: 1, ack: 1, data: 'a', ts: [3, 0] });
    assert.equal(s.app.text, 'a');
    s.send('x');
    const [one] = s.records();
    s.now += 5;
    s.send('y');
    const [two] = s.records();
    assert.equal(((two?.ts?.[0] ?? 0) - (one?.ts?.[0] ?? 0)) | 0, 5);
  });

  it('every segment of the connection carries timestamps once agreed, and data is shorter by them', () => {
    const s = established({ offer: TS }).send(3000);
    const all = s.records();
    assert.deepEqual(
      all.map((r) => r.data.length),
      [1448, 1448, 104],
    );
    assert.ok(all.every((r) => r.ts?.[1] === 1000));
  });
});
