/** From guest to guest through the gateway, as where the prefix is announced off-link. One row a rule. */
import assert from 'node:assert/strict';
import { slabOver } from '../../../src/base/slab.ts';
import { Frame } from '../../../src/stack/frame.ts';
import type { FrameReader } from '../../../src/stack/link.ts';
import type { SeparationMode } from '../../../src/stack/separation/separation.ts';
import { GATEWAY_MAC, viewOf } from '../../support/frames.ts';
import {
  frame6,
  GATEWAY6,
  ICMPV6,
  type Ip6Fields,
  icmp6Frame,
  linkLayerOption,
  ndp,
  packet6,
  ROUTER6,
  through,
  UDP,
  udp6,
} from '../../support/frames6.ts';
import { lend } from '../../support/lend.ts';
import { RecordingWriter, type Script } from '../../support/script.ts';
import { icmp6Out, numbers, script6 } from '../../support/script6.ts';

const OTHER6 = 'fd12:3456:789a:1::9';
const OTHER_MAC = 0x5254_0000_0009;
const HOP_LIMIT_AT = 21;

interface Lab {
  readonly s: Script;
  readonly writer: RecordingWriter;
  readonly other: FrameReader;
}

/** Two guests that the gateway knows. */
function lab(mode: SeparationMode = 'separate', mtu = 1500): Lab {
  const s = script6({ mtu, config: { separation: { mode, allowed: [] } } });
  const writer = new RecordingWriter();
  const other = s.stack.attach(s.now, 'other', writer);
  assert.ok(other);
  const echo = (src: string, srcMac?: number): Uint8Array =>
    icmp6Frame(
      [128, 0, 0, 0, 0, 1, 0, 1],
      through(GATEWAY6, { src, ...(srcMac === undefined ? {} : { srcMac }) }),
    );
  s.frames(echo('fd12:3456:789a:1::2'));
  lend(other, s.now, echo(OTHER6, OTHER_MAC));
  other.onBatchEnd(s.now);
  writer.take();
  s.writer.take();
  return { s, writer, other };
}

const datagram = (fields: Ip6Fields = {}, len = 8): Uint8Array => {
  const ends = through(OTHER6, fields);
  return frame6(UDP, udp6(1, 2, numbers(len), ends), ends);
};

describe('stack/ipv6 relay', () => {
  it('a packet to another guest comes from the gateway, with a hop less', () => {
    const { s, writer } = lab();
    s.frames(datagram());
    const [frame, ...more] = writer.take();
    assert.ok(frame);
    assert.deepEqual(more, []);
    const expected = datagram({ dstMac: OTHER_MAC, srcMac: GATEWAY_MAC, hopLimit: 63 });
    assert.deepEqual(frame, expected);
    assert.deepEqual(s.datagrams, []);
    assert.deepEqual(s.drops(), {});
    assert.ok(writer.flushes > 0);
  });

  it('in pieces, each as it is', () => {
    const { s, writer } = lab();
    const extensions = [[44, [0, 0, 1, 0, 0, 0, 7]] as const];
    s.frames(datagram({ extensions }));
    assert.equal(writer.take().length, 1);
    assert.equal(s.stack.nextTimeout(), Number.POSITIVE_INFINITY);
  });

  it('the last hop ends at the gateway, which says so', () => {
    const { s, writer } = lab();
    s.frames(datagram({ hopLimit: 1 }));
    assert.deepEqual(icmp6Out(s), [[3, 0, 0]]);
    assert.deepEqual(writer.take(), []);
  });

  it('what is too big is answered, and goes no further', () => {
    const { s, writer } = lab('separate', 1400);
    s.frames(datagram({}, 1400));
    assert.deepEqual(icmp6Out(s), [[2, 0, 1400]]);
    assert.deepEqual(writer.take(), []);
  });

  it('not from an address of the link', () => {
    const { s, writer } = lab();
    s.frames(datagram({ src: 'fe80::2' }));
    assert.deepEqual(icmp6Out(s), [[1, 2, 0]]);
    assert.deepEqual(writer.take(), []);
  });

  it('not in a frame to a group of stations', () => {
    const { s, writer } = lab();
    s.frames(datagram({ dstMac: 0x3333_0000_0001 }));
    assert.deepEqual(
      writer.take().map((frame) => frame[HOP_LIMIT_AT]),
      [64],
      'the frame itself, once',
    );
  });

  it('to an address that no guest was heard with it goes up', () => {
    const { s } = lab();
    s.frames(datagram({ dst: 'fd12:3456:789a:1::77' }));
    assert.equal(s.datagrams.length, 1);
  });

  it('to a guest that has only detected duplicates of its address: it is asked for, and has the next one', () => {
    const { s, writer, other } = lab();
    const dst = 'fd12:3456:789a:1::a';
    const hear = (frame: Uint8Array): void => {
      lend(other, s.now, frame);
      other.onBatchEnd(s.now);
    };
    const probe = { src: '::', dst: 'ff02::1:ff00:a', dstMac: 0x3333_ff00_000a };
    hear(icmp6Frame(ndp(135, dst), { ...probe, srcMac: OTHER_MAC }));
    writer.take();
    s.frames(datagram({ dst }));
    assert.deepEqual(
      writer.take().map((frame) => [packet6(frame).protocol, packet6(frame).upper[0]]),
      [[ICMPV6, 135]],
    );
    const answer = through(ROUTER6, { src: dst, srcMac: OTHER_MAC, hopLimit: 255 });
    hear(icmp6Frame(ndp(136, dst, linkLayerOption(2, OTHER_MAC)), answer));
    writer.take();
    s.frames(datagram({ dst }));
    assert.deepEqual(
      writer.take().map((frame) => packet6(frame).protocol),
      [UDP],
    );
    assert.deepEqual(s.datagrams, []);
  });

  it('to a guest that is away it goes up', () => {
    const { s, other } = lab();
    other.onLinkDown(s.now);
    s.frames(datagram());
    assert.equal(s.datagrams.length, 1);
  });

  it('the rules between guests hold: isolated guests are, and no guest is a DHCP server', () => {
    const isolated = lab('isolate');
    isolated.s.frames(datagram());
    assert.deepEqual(isolated.writer.take(), []);
    assert.deepEqual(isolated.s.drops(), { 'guest-isolated': 1 });
    const { s, writer } = lab();
    const ends = through(OTHER6);
    s.frames(frame6(UDP, udp6(547, 546, numbers(8), ends), ends));
    s.frames(icmp6Frame([134, 0, 0, 0, ...numbers(12)], ends));
    assert.deepEqual(writer.take(), []);
    assert.deepEqual(s.drops(), { 'guest-dhcp-answer': 1, 'guest-router-advertisement': 1 });
  });

  it('Neighbor Discovery that was relayed is none any more', () => {
    const { s, writer } = lab();
    s.frames(icmp6Frame(ndp(135, OTHER6), through(OTHER6, { hopLimit: 255 })));
    assert.deepEqual(
      writer.take().map((frame) => packet6(frame).hopLimit),
      [254],
    );
  });

  for (const offload of [true, false]) {
    it(`a sum that the link left undone is ${offload ? 'left to the other' : 'done'}`, () => {
      const { s, writer } = lab();
      writer.offload = offload;
      const whole = datagram();
      const partial = whole.slice();
      viewOf(partial).setUint16(60, pseudo(whole));
      const frame = new Frame().set(slabOver(partial), 0, partial.length);
      frame.checksum = 'partial';
      frame.csumStart = 54;
      frame.csumOffset = 6;
      s.reader.onFrame(s.now, frame);
      const [sent] = writer.take();
      assert.ok(sent);
      assert.deepEqual(sent.subarray(54), (offload ? partial : whole).subarray(54));
      assert.equal(writer.works.length, offload ? 1 : 0);
      assert.equal(partial[HOP_LIMIT_AT], 64, 'the frame is its sender’s');
    });
  }
});

/** The sum of the pseudo-header of a datagram: what stands in the field before the rest is summed. */
function pseudo(frame: Uint8Array): number {
  const words = [...frame.subarray(22, 54), 0, UDP, ...frame.subarray(58, 60)];
  let sum = 0;
  for (let i = 0; i < words.length; i += 2) sum += ((words[i] ?? 0) << 8) | (words[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
