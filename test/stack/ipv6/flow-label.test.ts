/** Flow labels (RFC 6437): every packet of a flow has the same, and no two flows share one but by chance. */
import assert from 'node:assert/strict';
import { IPV6, overFamily } from '../../support/family.ts';
import { GUEST_IP, isQuestion, SERVER_IP } from '../../support/frames.ts';
import { icmp6Frame, packet6, through } from '../../support/frames6.ts';
import { established, PLAIN, type Script } from '../../support/script.ts';
import { script6 } from '../../support/script6.ts';

/** Of what is not Neighbor Discovery. */
const labels = (s: Script): number[] =>
  s.writer
    .take()
    .filter((frame) => !isQuestion(frame))
    .map((frame) => packet6(frame).flowLabel);

overFamily(IPV6, 'stack/ipv6 flow label', () => {
  it('is the same from the answer to the SYN to the last retransmission and the reset', () => {
    const s = script6().in({ flags: 'S', ...PLAIN });
    const [synAck] = s.writer.frames;
    assert.ok(synAck);
    const { flowLabel } = packet6(synAck);
    s.records();
    s.in({ seq: 1, ack: 1 }).send(5000);
    const all = labels(s);
    s.advance(3000);
    all.push(...labels(s));
    s.flow.abort(s.now);
    s.stack.flush();
    s.in({ seq: 1, ack: 1, data: 10 }).settle();
    all.push(...labels(s));
    assert.ok(all.length > 6);
    assert.notEqual(flowLabel, 0);
    assert.deepEqual([...new Set(all)], [flowLabel]);
  });

  it('is one of TIME-WAIT too', () => {
    const s = established();
    s.send(10);
    const [label] = labels(s);
    s.flow.shutdown(s.now);
    s.settle();
    s.in({ flags: 'FA', seq: 1, ack: 12 });
    labels(s);
    s.in({ flags: 'FA', seq: 1, ack: 12 }).settle();
    assert.deepEqual([...new Set(labels(s))], [label]);
  });

  it('is another for other ports, and in another stack', () => {
    const of = (sport: number, seed: number): number => {
      const s = script6({ seed }).in({ flags: 'S', sport, ...PLAIN });
      return labels(s)[0] ?? 0;
    };
    const all = [of(1000, 1), of(1001, 1), of(1000, 2), of(1001, 2)];
    assert.equal(new Set(all).size, 4);
    assert.equal(of(1000, 1), all[0]);
  });

  it('is the same for the datagrams of a flow, in one piece and in many', () => {
    const s = script6().frames(icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1], through()));
    const sent = (guestPort: number, len: number): number[] => {
      const id = {
        guest: IPV6.address(GUEST_IP),
        guestPort,
        remote: IPV6.address(SERVER_IP),
        remotePort: 53,
      };
      assert.ok(s.stack.sendDatagram(s.now, id, new Uint8Array(len), 0, len));
      return labels(s);
    };
    const [one, other] = [...sent(1, 10), ...sent(2, 10)];
    assert.notEqual(one, 0);
    assert.notEqual(one, other);
    assert.deepEqual([...new Set([...sent(1, 10), ...sent(1, 4000)])], [one]);
  });

  it('is the same for the answers to the pings of one program', () => {
    const s = script6().frames(icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1], through()));
    s.writer.take();
    const answered = (identifier: number, sequence: number): number[] => {
      const id = { guest: IPV6.address(GUEST_IP), remote: IPV6.address(SERVER_IP) };
      s.stack.sendEchoReply(s.now, { ...id, identifier, sequence }, new Uint8Array(9), 0, 9);
      return s.writer.take().map((frame) => packet6(frame).flowLabel);
    };
    const [one, other] = [...answered(1, 1), ...answered(2, 1)];
    assert.notEqual(one, 0);
    assert.notEqual(one, other);
    assert.deepEqual(answered(1, 2), [one]);
  });
});
