/** Closing, half-closing, resetting, TIME-WAIT. One row a rule. */
import assert from 'node:assert/strict';
import { overBothFamilies } from '../support/family.ts';
import { established, PLAIN, Script } from '../support/script.ts';

/** Closed by us first: in TIME-WAIT. */
function inTimeWait(offer: Parameters<typeof established>[0] = {}): Script {
  const s = established(offer);
  s.flow.shutdown(s.now);
  s.in({ flags: 'FA', seq: 1, ack: 2 });
  s.records();
  return s;
}

overBothFamilies('stack/tcp closing', () => {
  it('the guest closes first: data goes on towards it until we close', () => {
    const s = established();
    s.in({ flags: 'FA', seq: 1, ack: 1 });
    assert.deepEqual(s.app.events, ['guest-end']);
    assert.deepEqual(s.advance(20).out(), ['A 1+0 ack 2']);
    s.send('still here');
    assert.deepEqual(s.out(), ['PA 1+10 ack 2']);
    s.in({ seq: 2, ack: 11 });
    s.flow.shutdown(s.now);
    assert.deepEqual(s.out(), ['FA 11+0 ack 2']);
    s.in({ seq: 2, ack: 12 });
    assert.equal(s.app.closed, 'finished');
    assert.equal(s.stack.tcp.timeWaitCount, 0);
  });

  it('the guest closes first: our FIN, when it comes soon, carries the ACK', () => {
    const s = established();
    s.in({ flags: 'FA', seq: 1, ack: 1 });
    assert.deepEqual(s.advance(5).out(), []);
    s.flow.shutdown(s.now);
    assert.deepEqual(s.advance(50).out(), ['FA 1+0 ack 2']);
  });

  it('we close first: data from the guest goes on until it closes', () => {
    const s = established();
    s.flow.shutdown(s.now);
    assert.deepEqual(s.out(), ['FA 1+0 ack 1']);
    s.in({ seq: 1, ack: 2 });
    s.in({ flags: 'PA', seq: 1, ack: 2, data: 'late' });
    assert.equal(s.app.text, 'late');
    s.in({ flags: 'FA', seq: 5, ack: 2 });
    assert.deepEqual(s.out().slice(-1), ['A 2+0 ack 6']);
    assert.equal(s.app.closed, 'finished');
    assert.equal(s.stack.tcp.timeWaitCount, 1);
  });

  it('simultaneous close: the FINs cross', () => {
    const s = established();
    s.flow.shutdown(s.now);
    s.in({ flags: 'FA', seq: 1, ack: 1 });
    assert.deepEqual(s.out(), ['FA 1+0 ack 1', 'A 2+0 ack 2']);
    assert.equal(s.app.closed, undefined);
    s.in({ seq: 2, ack: 2 });
    assert.equal(s.app.closed, 'finished');
    assert.deepEqual(s.out(), [], 'an ACK needs no answer');
    assert.equal(s.stack.tcp.timeWaitCount, 1);
  });

  it('the FIN follows everything queued', () => {
    const s = established({ offer: { ...PLAIN, win: 100 } });
    s.in({ seq: 1, ack: 1, win: 11 }); // 1408 bytes
    s.send(1408 * 2);
    s.flow.shutdown(s.now);
    let end = 1;
    for (let i = 0; i < 20 && s.flow.describe().state === 'established'; i++) {
      s.in({ seq: 1, ack: end, win: 11 }).advance(1500);
      for (const r of s.records()) end = Math.max(end, r.seq + r.data.length);
    }
    s.in({ seq: 1, ack: 1 + 1408 * 2 });
    assert.equal(s.flow.describe().state, 'fin-wait-1');
    s.in({ seq: 1, ack: 2 + 1408 * 2 });
    assert.equal(s.flow.describe().state, 'fin-wait-2');
  });

  it('a FIN that comes before its data waits for it', () => {
    const s = established();
    s.in({ flags: 'FA', seq: 11, ack: 1 });
    assert.deepEqual(s.app.events, []);
    s.in({ flags: 'PA', seq: 1, ack: 1, data: '0123456789' });
    assert.deepEqual(s.app.events, ['readable', 'guest-end']);
    assert.deepEqual(s.advance(20).out().slice(-1), ['A 1+0 ack 12']);
  });

  it('a repeated FIN is acknowledged again', () => {
    const s = established();
    s.in({ flags: 'FA', seq: 1, ack: 1 });
    s.out();
    s.in({ flags: 'FA', seq: 1, ack: 1 });
    assert.deepEqual(s.out(), ['A 1+0 ack 2']);
    assert.deepEqual(s.app.events, ['guest-end']);
  });

  it('our FIN is sent again until it is acknowledged', () => {
    const s = established();
    s.flow.shutdown(s.now);
    s.out();
    s.advance(3000);
    assert.ok(s.out().includes('FA 1+0 ack 1'));
    s.in({ seq: 1, ack: 2 });
    assert.equal(s.flow.describe().state, 'fin-wait-2');
    s.advance(60_000);
    assert.deepEqual(s.out(), [], 'nothing more is due in FIN-WAIT-2');
  });

  it('after our FIN nothing more can be sent', () => {
    const s = established();
    s.flow.shutdown(s.now);
    s.flow.shutdown(s.now);
    assert.equal(s.flow.sendSpace, 0);
    assert.deepEqual(s.out(), ['FA 1+0 ack 1']);
  });

  it('a reset is reported as a reset, not as an end', () => {
    const s = established();
    s.in({ flags: 'R', seq: 1 });
    assert.deepEqual(s.app.events, ['closed:reset-by-guest']);
    assert.equal(s.stack.tcp.connectionCount, 0);
    assert.deepEqual(s.out(), []);
  });

  it('abort sends a reset and does not call the handler', () => {
    const s = established().send(5000);
    s.out();
    s.flow.abort(s.now);
    assert.deepEqual(s.out(), ['RA 5001+0 ack 1']);
    s.settle();
    assert.deepEqual(s.app.events, []);
    s.in({ seq: 1, ack: 5001 });
    assert.deepEqual(s.out(), ['R 5001+0 ack 0']);
  });

  it('a reset carries timestamps where they are on (RFC 7323 §3.2)', () => {
    const s = established({ offer: { ...PLAIN, ts: [77, 0] } });
    s.flow.abort(s.now);
    const [reset] = s.records();
    assert.equal(reset?.flags, 'RA');
    assert.equal(reset.ts?.[1], 77);
  });

  it('abort after the end gives the unread bytes back, and silences the handler', () => {
    const s = established();
    s.app.hold = true;
    s.flow.shutdown(s.now);
    s.in({ flags: 'FPA', seq: 1, ack: 2, data: 'unread' });
    assert.equal(s.app.closed, 'finished');
    assert.equal(s.flow.receivedLen, 6, 'readable after the end');
    assert.ok(s.stack.tcp.pool.inUse > 0);
    s.flow.abort(s.now);
    assert.equal(s.stack.tcp.pool.inUse, 0);
  });

  it('a handler that aborts within a callback hears no more', () => {
    const s = established();
    s.app.onReadable = (now, flow) => flow.abort(now);
    s.in({ flags: 'FPA', seq: 1, ack: 1, data: 'x' });
    assert.deepEqual(s.app.events, []);
    assert.equal(s.stack.tcp.pool.inUse, 0);
  });

  it('a flow that is closed takes calls without effect', () => {
    const s = established();
    s.in({ flags: 'R', seq: 1 });
    s.out();
    s.send('x');
    s.flow.shutdown(s.now);
    s.flow.abort(s.now);
    s.flow.release(s.now, 10);
    assert.equal(s.flow.sendSpace, 0);
    assert.deepEqual(s.out(), []);
    assert.equal(s.stack.tcp.pool.inUse, 0);
  });

  describe('TIME-WAIT', () => {
    it('answers a repeated FIN, ignores ACKs and resets (RFC 1337)', () => {
      const s = inTimeWait();
      s.in({ flags: 'FA', seq: 1, ack: 2 });
      assert.deepEqual(s.out(), ['A 2+0 ack 2']);
      s.in({ seq: 2, ack: 2 });
      s.in({ flags: 'R', seq: 2 });
      assert.deepEqual(s.out(), []);
      assert.equal(s.stack.tcp.timeWaitCount, 1);
    });

    it('a SYN-ACK gets a challenge ACK, however new, and does not end it (RFC 5961 §4.2)', () => {
      const s = inTimeWait();
      s.in({ flags: 'SA', seq: 100_000, ack: 2, ...PLAIN });
      assert.deepEqual(s.out(), ['A 2+0 ack 2']);
      assert.equal(s.stack.tcp.timeWaitCount, 1);
    });

    it('an ACK outside the window gets an ACK (RFC 9293 §3.10.7.4, first step)', () => {
      for (const seq of [1, 10_000_000]) {
        const s = inTimeWait();
        s.in({ seq, ack: 2 });
        assert.deepEqual(s.out(), ['A 2+0 ack 2'], `${seq}`);
      }
    });

    it('a FIN without ACK is dropped (RFC 9293 §3.10.7.4, fifth step)', () => {
      for (const seq of [1, 2]) {
        const s = inTimeWait();
        s.in({ flags: 'F', seq });
        assert.deepEqual(s.out(), [], `${seq}`);
      }
    });

    it('carries timestamps when the connection did', () => {
      const s = inTimeWait({ offer: { ...PLAIN, ts: [5, 0] } });
      s.in({ flags: 'FA', seq: 1, ack: 2 });
      assert.equal(s.records()[0]?.ts?.[1], 5);
    });

    it('gives way to a SYN with a newer sequence number', () => {
      const s = inTimeWait();
      s.irs += 100_000;
      s.in({ flags: 'S', ...PLAIN });
      assert.deepEqual(s.out(), ['SA 0+0 ack 1']);
      assert.equal(s.stack.tcp.timeWaitCount, 0);
    });

    it('gives way to a SYN with a newer timestamp, even if its number is older (RFC 6191)', () => {
      const s = inTimeWait({ offer: { ...PLAIN, ts: [5, 0] } });
      s.irs -= 100_000;
      s.in({ flags: 'S', ...PLAIN, ts: [1000, 0] });
      assert.deepEqual(s.out(), ['SA 0+0 ack 1']);
    });

    /** Past the clock of initial numbers: more was sent than 250 bytes a millisecond. */
    const aheadOfTheClock = (): Script => {
      const s = established({ seed: 3 });
      let at = 1;
      for (let i = 0; i < 40; i++) {
        s.send(s.flow.sendSpace);
        for (;;) {
          const sent = s.records();
          if (sent.length === 0) break;
          for (const r of sent) at = Math.max(at, r.seq + r.data.length);
          s.in({ seq: 1, ack: at });
        }
      }
      s.flow.shutdown(s.now);
      s.in({ flags: 'FA', seq: 1, ack: at + 1 });
      assert.equal(s.stack.tcp.timeWaitCount, 1);
      assert.ok(at > 1_000_000, `${at}`);
      s.records();
      s.iss += at + 1; // the old SND.NXT
      return s;
    };

    it('a connection that the guest reopens starts above the old SND.NXT (RFC 9293 §3.6.1)', () => {
      const s = aheadOfTheClock();
      const { iss: old } = s;
      s.irs += 100_000;
      s.in({ flags: 'S', ...PLAIN });
      assert.deepEqual(s.out(), ['SA 0+0 ack 1']);
      assert.ok(((s.iss - old) | 0) > 0, `${s.iss} after ${old}`);
    });

    it('and one that we dial likewise', () => {
      const s = aheadOfTheClock();
      const { iss: old } = s;
      assert.ok(s.dial());
      assert.deepEqual(s.out(), ['S 0+0 ack 0']);
      assert.ok(((s.iss - old) | 0) > 0, `${s.iss} after ${old}`);
    });

    it('acknowledges an older SYN', () => {
      const s = inTimeWait();
      s.in({ flags: 'S', seq: -5000, ...PLAIN });
      assert.deepEqual(s.out(), ['A 2+0 ack 2']);
    });

    it('ends after its time', () => {
      const s = inTimeWait();
      s.advance(29_000);
      assert.equal(s.stack.tcp.timeWaitCount, 1);
      s.advance(1010);
      assert.equal(s.stack.tcp.timeWaitCount, 0);
    });

    it('gives way to a dial of ours', () => {
      const s = inTimeWait();
      assert.ok(s.dial());
      assert.equal(s.stack.tcp.timeWaitCount, 0);
      assert.deepEqual(s.out(), ['S 0+0 ack 0']);
    });

    it('the oldest entry gives way at the limit', () => {
      const s = new Script({ tcp: { maxTimeWait: 2 } });
      for (const sport of [1, 2, 3]) {
        s.in({ flags: 'S', ...PLAIN, sport });
        s.records();
        s.in({ seq: 1, ack: 1, sport });
        s.flow.shutdown(s.now);
        s.in({ flags: 'FA', seq: 1, ack: 2, sport });
      }
      assert.equal(s.stack.tcp.timeWaitCount, 2);
      assert.equal(s.drops()['tcp-time-wait-evicted'], 1);
    });

    it('what takes the place of one that gave way answers for itself alone', () => {
      const s = new Script({ tcp: { maxTimeWait: 1 } });
      const finish = (sport: number, data: string, offer: object): void => {
        s.in({ flags: 'S', ...PLAIN, ...offer, sport });
        s.records();
        s.in({ flags: 'PA', seq: 1, ack: 1, sport, data, ...offer });
        s.flow.shutdown(s.now);
        s.in({ flags: 'FA', seq: 1 + data.length, ack: 2, sport, ...offer });
        s.records();
      };
      finish(1, 'one', { ts: [5, 0] });
      finish(2, 'another', {});
      assert.equal(s.stack.tcp.timeWaitCount, 1);
      s.in({ flags: 'FA', seq: 8, ack: 2, sport: 2 });
      const [again] = s.records();
      assert.deepEqual([again?.flags, again?.seq, again?.ack, again?.dport], ['A', 2, 9, 2]);
      assert.equal(again?.ts, undefined);
      s.in({ flags: 'FA', seq: 4, ack: 2, sport: 1, ts: [6, 0] });
      const [stray] = s.records();
      assert.deepEqual([stray?.flags, stray?.seq, stray?.dport], ['R', 2, 1]);
    });
  });

  describe('keepalive', () => {
    const tcp = { keepaliveIdleMs: 60_000, keepaliveIntervalMs: 5000, keepaliveProbes: 3 };
    it('asks a quiet guest with a number that it has seen, and lives on with its answer', () => {
      const s = established({ tcp });
      s.advance(60_010);
      assert.deepEqual(s.out(), ['A 0+0 ack 1']);
      s.in({ seq: 1, ack: 1 });
      s.advance(59_000);
      assert.deepEqual(s.out(), []);
      s.advance(2000);
      assert.deepEqual(s.out(), ['A 0+0 ack 1']);
    });

    it('gives up after its probes', () => {
      const s = established({ tcp });
      s.advance(60_010 + 3 * 5010);
      assert.equal(s.out().length, 3);
      assert.equal(s.app.closed, 'timed-out');
    });

    it('answers the guest’s probe', () => {
      const s = established();
      s.in({ seq: 0, ack: 1 });
      assert.deepEqual(s.out(), ['A 1+0 ack 1']);
      s.in({ seq: 0, ack: 1, data: 1 });
      assert.deepEqual(s.out(), ['A 1+0 ack 1 sack 0-1']);
    });
  });
});
