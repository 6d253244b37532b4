/** What `docs/deviations.md` says and no other test shows. */
import assert from 'node:assert/strict';
import { icmpErrorFrame, l3Of, l4Of } from '../support/frames.ts';
import { established, PLAIN, Script } from '../support/script.ts';

const FLAGS = 13;
const [FIN, SYN, RST, URG, ECE, CWR] = [1, 2, 4, 0x20, 0x40, 0x80] as const;
/** The frames are altered after their checksum was computed. */
const unverified = { config: { verifyChecksums: false } };

/** `frame` with more flags in its TCP header, and an urgent pointer. */
function flagged(frame: Uint8Array, flags: number, urgent = 0): Uint8Array {
  const l4 = l4Of(frame);
  l4[FLAGS] = (l4[FLAGS] ?? 0) | flags;
  l4[19] = urgent;
  return frame;
}

describe('stack deviations', () => {
  it('urgent data is delivered in line, and its pointer ignored', () => {
    const s = established(unverified);
    s.frames(flagged(s.segment({ seq: 1, ack: 1, data: 'ab!cd' }), URG, 3));
    assert.equal(s.app.text, 'ab!cd');
  });

  it('ECN is not agreed on, whatever the guest offers', () => {
    const s = new Script(unverified);
    s.frames(flagged(s.segment({ flags: 'S', ...PLAIN }), ECE | CWR));
    const [frame] = s.writer.take().slice(-1);
    assert.ok(frame);
    assert.equal((l4Of(frame)[FLAGS] ?? 0) & (ECE | CWR), 0);
  });

  for (const [name, flag] of [
    ['FIN', FIN],
    ['RST', RST],
  ] as const) {
    it(`a SYN with ${name} is dropped and counted`, () => {
      const s = new Script(unverified);
      s.frames(flagged(s.segment({ flags: 'S', ...PLAIN }), flag));
      assert.deepEqual(s.out(), []);
      assert.equal(s.requests.length, 0);
      assert.equal(s.drops()['tcp-bad-flags'], 1);
      const open = established(unverified);
      open.frames(flagged(open.segment({ seq: 1, ack: 1 }), SYN | flag));
      assert.deepEqual(open.out(), []);
      assert.equal(open.app.closed, undefined);
    });
  }

  it('a SYN without an answer is given up after 63 seconds', () => {
    const s = new Script().announce();
    s.dial();
    s.advance(62_000);
    assert.equal(s.app.closed, undefined);
    s.advance(1500);
    assert.equal(s.app.closed, 'timed-out');
    assert.equal(s.out().length, 6);
  });

  it('the timeout after a lost SYN is what the back-off made of it, not three seconds', () => {
    const s = new Script().announce();
    s.dial();
    s.advance(1010);
    assert.equal(s.out().length, 2);
    s.in({ flags: 'SA', ack: 1, ...PLAIN });
    s.send('x');
    s.out();
    s.advance(1900);
    assert.deepEqual(s.out(), []);
    s.advance(200);
    assert.deepEqual(s.out(), ['PA 1+1 ack 1']);
  });

  it('after a lost SYN-ACK it is a second', () => {
    const s = new Script();
    s.in({ flags: 'S', ...PLAIN });
    s.advance(1010);
    assert.equal(s.out().length, 2);
    s.in({ seq: 1, ack: 1 });
    s.send('x');
    s.out();
    s.advance(900);
    assert.deepEqual(s.out(), []);
    s.advance(200);
    assert.deepEqual(s.out(), ['PA 1+1 ack 1']);
  });

  it('a path MTU that was lowered stays for the life of the connection', () => {
    const s = established().send(1460);
    const [frame] = s.writer.take();
    assert.ok(frame);
    s.frames(icmpErrorFrame(3, 4, 1000, l3Of(frame).slice(0, 28)));
    s.in({ seq: 1, ack: 1461 }).records();
    s.advance(11 * 60_000);
    s.send(2000);
    assert.deepEqual(
      s.records().map((r) => r.data.length),
      [960, 960, 80],
    );
  });

  it('an IPv4 header whose checksum is zero counts as not computed', () => {
    const s = established();
    const frame = s.segment({ seq: 1, ack: 1, data: 'x' });
    l3Of(frame).fill(0, 10, 12);
    s.frames(frame);
    assert.equal(s.app.text, 'x');
  });

  it('keepalive is on: a guest that is silent for two hours is asked', () => {
    const s = established();
    s.advance(2 * 3_600_000 - 1000);
    assert.deepEqual(s.out(), []);
    s.advance(2000);
    assert.deepEqual(s.out(), ['A 0+0 ack 1']);
  });
});
