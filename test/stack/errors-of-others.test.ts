/** ICMP errors of one guest about connections of another, with the right ports and sequence number. */
import assert from 'node:assert/strict';
import type { Instant } from '../../src/base/time.ts';
import { overBothFamilies } from '../support/family.ts';
import { GUEST_IP, icmpErrorFrame, l3Of, protocolOf } from '../support/frames.ts';
import { GATEWAY6, icmp6Frame, through } from '../support/frames6.ts';
import { lend } from '../support/lend.ts';
import { established, RecordingWriter, Script } from '../support/script.ts';

const TCP = 6;
const OTHER_MAC = 0x5254_0000_0005;

overBothFamilies('errors about connections of others', ({ version }) => {
  const segments = (s: Script): Uint8Array[] =>
    s.writer.take().filter((frame) => protocolOf(frame) === TCP);

  const about = (frame: Uint8Array, type4: [number, number], type6: [number, number]) => {
    const quoted = l3Of(frame).slice(0, 1200);
    if (version === 4) {
      const from = { src: GUEST_IP + 3, srcMac: OTHER_MAC };
      return icmpErrorFrame(...type4, 600, quoted, from);
    }
    const fields = through(GATEWAY6, { src: 'fd12:3456:789a:1::5', srcMac: OTHER_MAC });
    return icmp6Frame([...type6, 0, 0, 0, 0, 5, 0x14, ...quoted], fields);
  };

  const fromOther = (s: Script, now: Instant, frame: Uint8Array): void => {
    const reader = s.stack.attach(now, 'other', new RecordingWriter());
    assert.ok(reader);
    lend(reader, now, frame);
    reader.onBatchEnd(now);
    assert.equal(s.drops()['icmp-of-another'], 1);
  };

  it('shorten no segments', () => {
    const s = established({ mtu: 1480 });
    s.send(1440);
    const [first] = segments(s);
    assert.ok(first);
    fromOther(s, s.now, about(first, [3, 4], [2, 0]));
    assert.deepEqual(segments(s), []);
  });

  it('end no attempt', () => {
    const s = new Script();
    s.policy = 'refuse';
    s.in({ flags: 'S' }); // the guest is known from here on
    s.writer.take();
    s.dial();
    const [syn] = segments(s);
    assert.ok(syn);
    fromOther(s, s.now, about(syn, [3, 10], [1, 1]));
    assert.equal(s.app.closed, undefined);
  });
});
