/** Opening a connection, from either side. One row a rule. */
import assert from 'node:assert/strict';
import { family, overBothFamilies } from '../support/family.ts';
import { GUEST_IP, icmpErrorFrame, l3Of, SERVER_IP } from '../support/frames.ts';
import { established, PLAIN, Script } from '../support/script.ts';

const MAX_INT = 0x7fff_ffff;
const MIN_INT = -0x8000_0000;

overBothFamilies('stack/tcp handshake', ({ version }) => {
  describe('passive', () => {
    it('holds the SYN until the request is accepted', () => {
      const s = new Script();
      s.policy = 'keep';
      s.in({ flags: 'S', ...PLAIN });
      assert.deepEqual(s.out(), []);
      s.app.flow = s.requests[0]?.accept(s.now, s.app);
      assert.deepEqual(s.out(), ['SA 0+0 ack 1']);
    });

    it('opens on the ACK of the SYN-ACK, not before', () => {
      const s = new Script();
      s.in({ flags: 'S', ...PLAIN });
      s.out();
      assert.deepEqual(s.app.events, []);
      s.in({ seq: 1, ack: 1 });
      assert.deepEqual(s.app.events, ['open']);
    });

    it('answers every option that was offered (RFC 7323, 2018)', () => {
      const s = new Script();
      s.in({ flags: 'S', mss: 1460, ws: 9, sackOk: true, ts: [77, 0] });
      const [synAck] = s.records();
      assert.equal(synAck?.mss, 1460);
      assert.equal(synAck.ws, 7);
      assert.equal(synAck.sackOk, true);
      assert.equal(synAck.ts?.[1], 77);
    });

    for (const missing of ['ws', 'sackOk', 'ts'] as const) {
      it(`does not send ${missing} when it was not offered`, () => {
        const s = new Script();
        const all = { mss: 1460, ws: 9, sackOk: true, ts: [77, 0] as const };
        const { [missing]: _, ...offer } = all;
        s.in({ flags: 'S', ...offer });
        const [r] = s.records();
        assert.equal(r?.mss, 1460, 'MSS always');
        assert.equal(r.ws >= 0, missing !== 'ws');
        assert.equal(r.sackOk, missing !== 'sackOk');
        assert.equal(r.ts !== undefined, missing !== 'ts');
      });
    }

    const least = version === 4 ? 536 : 1220;
    it(`sends segments of ${least} bytes to a guest without an MSS option (RFC 9293 §3.7.1)`, () => {
      const s = established({ offer: {} }).send(least + 464);
      assert.deepEqual(s.out(), [`A 1+${least} ack 1`, `PA ${least + 1}+464 ack 1`]);
    });

    it('never sends more than the MTU allows, whatever the guest offers', () => {
      const s = established({ offer: { ...PLAIN, mss: 9000 } }).send(2000);
      assert.deepEqual(s.out(), ['A 1+1460 ack 1', 'PA 1461+540 ack 1']);
    });

    it('sends small segments to a guest with a small MSS, but not tiny ones', () => {
      const s = established({ offer: { ...PLAIN, mss: 1 } }).send(100);
      assert.deepEqual(s.out(), ['A 1+64 ack 1', 'PA 65+36 ack 1']);
    });

    it('answers a repeated SYN with the same SYN-ACK', () => {
      const s = new Script();
      s.in({ flags: 'S', ...PLAIN });
      s.out();
      const { iss } = s;
      s.in({ flags: 'S', ...PLAIN });
      assert.deepEqual(s.out(), ['SA 0+0 ack 1']);
      assert.equal(s.iss, iss);
      assert.equal(s.requests.length, 1);
    });

    it('repeats the SYN-ACK with back-off and gives up after its limit', () => {
      const s = new Script({ tcp: { maxSynRetransmits: 3 } });
      s.in({ flags: 'S', ...PLAIN });
      s.out();
      for (const wait of [1010, 2010, 4010]) {
        s.advance(wait);
        assert.deepEqual(s.out(), ['SA 0+0 ack 1'], `after ${wait} ms`);
      }
      s.advance(9000);
      assert.equal(s.app.closed, 'timed-out');
      assert.equal(s.stack.tcp.connectionCount, 0);
    });

    it('takes data and FIN that come with the handshake ACK', () => {
      const s = new Script();
      s.in({ flags: 'S', ...PLAIN });
      s.out();
      s.in({ flags: 'FPA', seq: 1, ack: 1, data: 'hello' });
      assert.deepEqual(s.app.events, ['open', 'readable', 'guest-end']);
      assert.equal(s.app.text, 'hello');
      assert.deepEqual(s.advance(20).out(), ['A 1+0 ack 7']);
    });

    it('sends what was queued before the handshake ended, with the FIN', () => {
      const s = new Script();
      s.in({ flags: 'S', ...PLAIN });
      s.out();
      s.send('early');
      s.flow.shutdown(s.now);
      assert.deepEqual(s.out(), []);
      s.in({ seq: 1, ack: 1 });
      assert.deepEqual(s.out(), ['FPA 1+5 ack 1']);
    });

    it('takes no payload from the SYN: it comes again', () => {
      const s = new Script();
      s.in({ flags: 'S', ...PLAIN, data: 'fast' });
      assert.deepEqual(s.out(), ['SA 0+0 ack 1']);
      s.in({ seq: 1, ack: 1, data: 'fast' });
      assert.equal(s.app.text, 'fast');
    });

    it('answers an ACK of something else with a reset without ACK, and goes on (RFC 9293 §3.10.7.4)', () => {
      const s = new Script();
      s.in({ flags: 'S', ...PLAIN });
      s.out();
      s.in({ seq: 1, ack: 999 });
      assert.deepEqual(s.out(), ['R 999+0 ack 0']);
      s.in({ seq: 1, ack: 1 });
      assert.deepEqual(s.app.events, ['open']);
    });

    it('a reset in SYN-RECEIVED ends it', () => {
      const s = new Script();
      s.in({ flags: 'S', ...PLAIN });
      s.in({ flags: 'R', seq: 1 });
      assert.equal(s.app.closed, 'refused');
    });
  });

  describe('refusing', () => {
    it('a refused request is answered with RST+ACK that acknowledges the SYN', () => {
      const s = new Script();
      s.policy = 'refuse';
      s.in({ flags: 'S', ...PLAIN });
      const [r] = s.records();
      assert.equal(r?.flags, 'RA');
      assert.equal(r.ack, 1);
    });

    it('with the payload of its SYN, when there was one', () => {
      const s = new Script();
      s.policy = 'refuse';
      s.in({ flags: 'S', ...PLAIN, data: 'fast' });
      assert.deepEqual(s.out(), ['RA 0+0 ack 5']);
    });

    it('a timeout is answered with silence', () => {
      const s = new Script();
      s.policy = 'keep';
      s.in({ flags: 'S', ...PLAIN });
      s.requests[0]?.refuse(s.now, 'timed-out');
      assert.deepEqual(s.writer.take(), []);
      assert.equal(s.stack.tcp.requestCount, 0);
    });

    it('a settled request takes no further verdict', () => {
      const s = new Script();
      s.policy = 'refuse';
      s.in({ flags: 'S', ...PLAIN });
      s.out();
      assert.equal(s.requests[0]?.accept(s.now, s.app), undefined);
      s.requests[0]?.refuse(s.now, 'refused');
      assert.deepEqual(s.out(), []);
    });

    it('a guest that gives up cancels the request', () => {
      for (const seq of [0, 1]) {
        const s = new Script();
        s.policy = 'keep';
        s.in({ flags: 'S', ...PLAIN });
        s.in({ flags: 'R', seq: 5 });
        assert.equal(s.cancelled, 0, 'another number');
        s.in({ flags: 'R', seq });
        assert.equal(s.cancelled, 1);
        assert.equal(s.requests[0]?.accept(s.now, s.app), undefined);
      }
    });

    it('the SYN-ACK echoes the timestamp of the last SYN (RFC 7323 §4.3)', () => {
      const s = new Script();
      s.policy = 'keep';
      s.in({ flags: 'S', ...PLAIN, ts: [10, 0] });
      s.in({ flags: 'S', ...PLAIN, ts: [1010, 0] });
      s.requests[0]?.accept(s.now, s.app);
      assert.equal(s.records()[0]?.ts?.[1], 1010);
    });
  });

  describe('segments to nobody (RFC 9293 §3.10.7.1)', () => {
    const rows: readonly (readonly [string, { flags: string; data?: number }, string[]])[] = [
      ['an ACK is reset at its ACK', { flags: 'A' }, ['R 77+0 ack 0']],
      ['data with an ACK likewise', { flags: 'PA', data: 10 }, ['R 77+0 ack 0']],
      ['a SYN-ACK likewise', { flags: 'SA' }, ['R 77+0 ack 0']],
      ['a FIN without ACK is acknowledged', { flags: 'F', data: 10 }, ['RA 0+0 ack 16']],
      ['a reset is not answered', { flags: 'R' }, []],
    ];
    for (const [name, segment, expected] of rows) {
      it(name, () => {
        const s = new Script();
        s.in({ ...segment, seq: 5, ack: 77 });
        assert.deepEqual(s.out(), expected);
        assert.equal(s.drops()['tcp-no-connection'], 1);
      });
    }
  });

  describe('active', () => {
    const dialed = (): Script => {
      const s = new Script().announce();
      s.dial();
      return s;
    };

    it('offers MSS, scale, SACK and timestamps, and opens on the SYN-ACK', () => {
      const s = dialed();
      const [syn] = s.records();
      assert.equal(syn?.flags, 'S');
      assert.deepEqual([syn.mss, syn.ws, syn.sackOk, syn.ts?.[1]], [1460, 7, true, 0]);
      s.in({ flags: 'SA', ack: 1, ...PLAIN });
      assert.deepEqual(s.app.events, ['open']);
      assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    });

    it('uses no option that the guest did not answer', () => {
      const s = dialed();
      s.records();
      s.in({ flags: 'SA', ack: 1, mss: 1000, win: 5000 });
      const [ack] = s.records();
      assert.ok(ack !== undefined && ack.ts === undefined);
      assert.ok(ack.win > 30_000, 'unscaled window');
      s.send(1200);
      assert.deepEqual(s.out(), ['A 1+1000 ack 1', 'PA 1001+200 ack 1']);
    });

    it('a reset with the right ACK refuses, any other is not believed', () => {
      const s = dialed();
      s.out();
      s.in({ flags: 'R', seq: 0 });
      s.in({ flags: 'RA', seq: 0, ack: 5 });
      assert.equal(s.app.closed, undefined);
      assert.deepEqual(s.out(), []);
      s.in({ flags: 'RA', seq: 0, ack: 1 });
      assert.equal(s.app.closed, 'refused');
    });

    it('an ACK of something else is reset: half of an older connection (RFC 9293 §3.5.1)', () => {
      const s = dialed();
      s.out();
      s.in({ seq: 50, ack: 5000 });
      assert.deepEqual(s.out(), ['R 5000+0 ack 0']);
      s.in({ flags: 'SA', ack: 1, ...PLAIN });
      assert.deepEqual(s.app.events, ['open']);
    });

    it('simultaneous open: both SYNs cross (RFC 9293 figure 8)', () => {
      const s = dialed();
      s.out();
      s.in({ flags: 'S', ...PLAIN });
      assert.deepEqual(s.out(), ['SA 0+0 ack 1']);
      s.in({ flags: 'SA', ack: 1, ...PLAIN });
      assert.deepEqual(s.app.events, ['open']);
      assert.deepEqual(s.out(), ['A 1+0 ack 1'], 'and no SYN-ACK once more');
    });

    it('repeats the SYN with back-off, then times out', () => {
      const s = new Script({ tcp: { maxSynRetransmits: 2 } }).announce();
      s.dial();
      assert.deepEqual(s.out(), ['S 0+0 ack 0']);
      s.advance(1010);
      assert.deepEqual(s.out(), ['S 0+0 ack 0']);
      s.advance(2010);
      assert.deepEqual(s.out(), ['S 0+0 ack 0']);
      s.advance(5000);
      assert.equal(s.app.closed, 'timed-out');
    });

    // Of IPv6: `ipv6/icmp.test.ts`.
    if (version === 4)
      describe('ICMP', () => {
        const unreachable = (s: Script, code: number, change = 0): void => {
          const [frame] = s.writer.take().slice(-1);
          assert.ok(frame);
          const quote = l3Of(frame).slice(0, 28);
          quote[27] = (quote[27] ?? 0) ^ change; // of the sequence number
          s.frames(icmpErrorFrame(3, code, 0, quote));
        };

        for (const code of [2, 3, 10, 13]) {
          it(`an ICMP unreachable of code ${code} about the SYN ends the dial (RFC 1122 §4.2.3.9)`, () => {
            const s = dialed();
            unreachable(s, code);
            assert.equal(s.app.closed, 'unreachable');
          });
        }

        for (const code of [0, 1, 5]) {
          it(`one of code ${code} may pass: the dial goes on (RFC 1122 §4.2.3.9)`, () => {
            const s = new Script({ tcp: { maxSynRetransmits: 1 } }).announce();
            s.dial();
            unreachable(s, code);
            assert.equal(s.app.closed, undefined);
            s.advance(1010);
            assert.deepEqual(s.out(), ['S 0+0 ack 0']);
            s.advance(2010);
            assert.equal(s.app.closed, 'unreachable', 'and is the reason when it fails');
          });
        }

        it('one that quotes another sequence number is not believed (RFC 5927 §4.1)', () => {
          const s = dialed();
          unreachable(s, 3, 1);
          assert.equal(s.app.closed, undefined);
        });

        it('an ICMP unreachable does not end an established connection', () => {
          const s = established().send(10);
          const [frame] = s.writer.take();
          assert.ok(frame);
          s.frames(icmpErrorFrame(3, 1, 0, l3Of(frame).slice(0, 28)));
          assert.equal(s.app.closed, undefined);
        });
      });

    it('a guest not seen yet is asked for, and the SYN goes out when it answers', () => {
      const s = new Script();
      s.dial();
      assert.equal(s.writer.take().length, 1, 'ARP');
      s.announce().advance(8);
      assert.deepEqual(s.out(), ['S 0+0 ack 0']);
    });

    it('the same flow cannot be dialed twice', () => {
      const s = dialed();
      assert.equal(s.dial(), undefined);
    });

    it('abort before the answer is silent on both sides (RFC 9293 §3.10.5)', () => {
      const s = dialed();
      s.out();
      s.flow.abort(s.now);
      assert.deepEqual(s.out(), []);
      s.settle();
      assert.deepEqual(s.app.events, []);
      assert.equal(s.stack.tcp.connectionCount, 0);
      s.in({ flags: 'SA', ack: 1, ...PLAIN });
      assert.deepEqual(s.out(), ['R 1+0 ack 0'], 'an answer that was under way finds nobody');
    });

    it('the payload of a SYN-ACK is taken', () => {
      const s = dialed();
      s.out();
      s.in({ flags: 'SA', ack: 1, ...PLAIN, data: 'banner' });
      assert.deepEqual(s.app.events, ['open', 'readable']);
      assert.equal(s.app.text, 'banner');
      assert.deepEqual(s.out(), ['A 1+0 ack 7']);
    });

    for (const again of ['banner', 'banner and more', '']) {
      it(`the payload of a SYN that crosses ours is taken, once open; then '${again}' comes with the SYN-ACK`, () => {
        const s = dialed();
        s.out();
        s.in({ flags: 'S', ...PLAIN, data: 'banner' });
        assert.deepEqual(s.out(), ['SA 0+0 ack 7']);
        assert.deepEqual(s.app.events, []);
        s.in({ flags: 'S', ...PLAIN, data: 'banner' });
        assert.deepEqual(s.out(), ['SA 0+0 ack 7'], 'the SYN again');
        s.in({ flags: 'SA', ack: 1, ...PLAIN, data: again });
        assert.deepEqual(s.app.events, ['open', 'readable']);
        const text = again.length > 6 ? again : 'banner';
        assert.equal(s.app.text, text);
        assert.deepEqual(s.out(), [`A 1+0 ack ${1 + text.length}`]);
      });
    }
  });

  describe('initial sequence numbers (RFC 6528)', () => {
    const issOf = (start: number, seed: number, sport: number): number => {
      const s = new Script({ start, seed });
      s.in({ flags: 'S', ...PLAIN, sport });
      s.records();
      return s.iss;
    };
    it('advance by 250 a millisecond for one flow', () => {
      assert.equal((issOf(2000, 1, 5) - issOf(1000, 1, 5)) | 0, 250_000);
    });
    it('differ between flows, and between secrets', () => {
      assert.notEqual(issOf(1000, 1, 5), issOf(1000, 1, 6));
      assert.notEqual(issOf(1000, 1, 5), issOf(1000, 2, 5));
    });
  });

  describe('sequence numbers wrap', () => {
    for (const isn of [-1, MAX_INT, MIN_INT, -3, MAX_INT - 2]) {
      it(`guest's initial number ${(isn >>> 0).toString(16)}`, () => {
        const s = established({ irs: isn });
        s.in({ seq: 1, ack: 1, data: 'abcdef', flags: 'PA' });
        s.in({ seq: 13, ack: 1, data: 'mno', flags: 'PA' });
        assert.deepEqual(s.out().slice(-1), ['A 1+0 ack 7 sack 13-16']);
        s.in({ seq: 7, ack: 1, data: 'ghijkl', flags: 'PA' });
        s.in({ seq: 16, ack: 1, flags: 'FA' });
        assert.equal(s.app.text, 'abcdefghijklmno');
        assert.deepEqual(s.advance(20).out().slice(-1), ['A 1+0 ack 17']);
      });

      it(`the number of a guest that we dial ${(isn >>> 0).toString(16)}`, () => {
        const s = new Script().announce();
        s.irs = isn;
        s.dial();
        s.out();
        s.in({ flags: 'SA', ack: 1, ...PLAIN });
        s.in({ seq: 7, ack: 1, data: 'ghi', flags: 'PA' });
        s.in({ seq: 1, ack: 1, data: 'abcdef', flags: 'PA' });
        s.in({ seq: 10, ack: 1, flags: 'FA' });
        assert.equal(s.app.text, 'abcdefghi');
        assert.deepEqual(s.advance(20).out().slice(-1), ['A 1+0 ack 11']);
      });

      it(`our initial number ${(isn >>> 0).toString(16)}`, () => {
        // The clock is the one part of the number that a script can choose.
        const probe = established({ start: 0 });
        const ms = ((isn - probe.iss) >>> 0) / 250;
        const s = established({ start: ms });
        assert.ok(Math.abs((s.iss - isn) | 0) <= 1, `${s.iss} ${isn}`);
        s.send(4000);
        assert.deepEqual(s.out(), ['A 1+1460 ack 1', 'A 1461+1460 ack 1', 'PA 2921+1080 ack 1']);
        s.in({ seq: 1, ack: 1461 });
        s.in({ seq: 1, ack: 4001 });
        s.flow.shutdown(s.now);
        assert.deepEqual(s.out(), ['FA 4001+0 ack 1']);
        s.in({ seq: 1, ack: 4002, flags: 'FA' });
        assert.deepEqual(s.out(), ['A 4002+0 ack 2']);
        assert.equal(s.app.closed, 'finished');
      });
    }
  });

  it('addresses of the request are the flow’s', () => {
    const s = new Script();
    s.in({ flags: 'S', ...PLAIN, sport: 1234, dport: 4321 });
    const id = s.requests[0]?.id;
    assert.deepEqual(
      [`${id?.guest}`, id?.guestPort, `${id?.remote}`, id?.remotePort],
      [`${family().address(GUEST_IP)}`, 1234, `${family().address(SERVER_IP)}`, 4321],
    );
  });
});
