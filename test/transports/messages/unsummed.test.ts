import assert from 'node:assert/strict';
import fc from 'fast-check';
import { makeSlab } from '../../../src/base/slab.ts';
import type { Frame } from '../../../src/stack/frame.ts';
import { Segmentation } from '../../../src/stack/segmentation.ts';
import { markUnsummed } from '../../../src/transports/messages/unsummed.ts';
import { sum16 } from '../../../src/wire/checksum.ts';
import { checkIpv4, ipv4TotalLength } from '../../../src/wire/ipv4.ts';
import {
  arpFrame,
  GATEWAY_IP,
  GUEST_IP,
  GUEST_MAC,
  tcpFrame,
  udpFrame,
  viewOf,
} from '../../support/frames.ts';
import { frame6, type Ip6Fields, summed, through, UDP, udp6 } from '../../support/frames6.ts';
import { frameOver } from '../../support/lend.ts';

const MTU = 1500;
const L4 = 34;
const L4_OF_6 = 54;
const TCP_SUM = 16;
const UDP_SUM = 6;
const body = (len: number): Uint8Array => Uint8Array.from({ length: len }, (_, i) => (i * 7) & 255);
const ENDS: Ip6Fields = through();
const tcp6 = (len: number): Uint8Array => {
  const header = Buffer.from('9c400050000010000000200050180400' + '00000000', 'hex');
  return frame6(6, summed(6, [...header, ...body(len)], TCP_SUM, ENDS), ENDS);
};
const marked = (bytes: Uint8Array): Frame => {
  const frame = frameOver(bytes);
  markUnsummed(frame, MTU);
  return frame;
};
/** Whatever the sender left in the checksum's field. */
const spoil = (bytes: Uint8Array, at: number): Uint8Array => {
  viewOf(bytes).setUint16(at, 0xbeef);
  return bytes;
};
/** The frame with its sum, as a guest receives it. */
function completed(frame: Frame): Uint8Array {
  const bytes = frame.slab.bytes.slice(frame.off, frame.off + frame.len);
  const view = viewOf(bytes);
  const at = frame.csumStart;
  view.setUint16(at + frame.csumOffset, ~sum16(view, at, frame.len - at) & 0xffff);
  return bytes;
}

describe('transports/messages/unsummed', () => {
  it('a whole packet of TCP or UDP, of either family, is completed to what it is, whatever its field held', () => {
    const packets: readonly (readonly [Uint8Array, number])[] = [
      [tcpFrame({ data: body(333) }), L4 + TCP_SUM],
      [udpFrame(1, 2, body(99)), L4 + UDP_SUM],
      [tcp6(20), L4_OF_6 + TCP_SUM],
      [frame6(UDP, udp6(1, 2, [...body(21)], ENDS), ENDS), L4_OF_6 + UDP_SUM],
    ];
    for (const [good, sumAt] of packets) {
      const frame = marked(spoil(good.slice(), sumAt));
      assert.equal(frame.checksum, 'partial');
      assert.equal(frame.csumStart + frame.csumOffset, sumAt);
      assert.equal(frame.gsoSize, 0);
      assert.deepEqual(completed(frame), good);
    }
  });

  it('what follows the packet is left out, for it is not summed', () => {
    const good = tcpFrame({ data: body(2) });
    const padded = Uint8Array.from([...good, 1, 2, 3, 4]);
    assert.deepEqual(completed(marked(padded)), good);
  });

  it('a segment above the MTU is to be cut to it', () => {
    const large = marked(spoil(tcpFrame({ data: body(30_000) }), L4 + TCP_SUM));
    assert.deepEqual([large.gsoType, large.gsoSize, large.headerLen], ['tcp4', 1460, 54]);
    const six = marked(tcp6(3000));
    assert.deepEqual([six.gsoType, six.gsoSize, six.headerLen], ['tcp6', 1440, 74]);
    const cut = new Segmentation();
    assert.ok(cut.plan(large));
    assert.equal(cut.count, 21);
    const out = makeSlab(2000);
    for (let i = 0; i < cut.count; i++) {
      cut.emit(i, out, 0);
      assert.equal(checkIpv4(out.view, 14, cut.pieceLen(i) - 14), undefined);
      assert.ok(ipv4TotalLength(out.view, 14) <= MTU);
    }
  });

  it('a datagram above the MTU is not cut', () => {
    const { checksum, gsoSize } = marked(udpFrame(1, 2, body(5000)));
    assert.deepEqual([checksum, gsoSize], ['partial', 0]);
  });

  it('everything else stays as it is, to be verified', () => {
    const noSum = udpFrame(1, 2, body(8));
    viewOf(noSum).setUint16(L4 + UDP_SUM, 0);
    const wrongLen = udpFrame(1, 2, body(8));
    viewOf(wrongLen).setUint16(L4 + 4, 12);
    const badHeader = tcpFrame({ data: body(8) });
    badHeader[14] = 0x41;
    for (const bytes of [
      arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP),
      udpFrame(1, 2, body(64), { fragment: 0x2000 }),
      udpFrame(1, 2, body(64), { fragment: 0x0010 }),
      noSum,
      wrongLen,
      badHeader,
    ]) {
      const before = bytes.slice();
      assert.equal(marked(bytes).checksum, 'unknown');
      assert.deepEqual(bytes, before);
    }
  });

  it('never throws, and never points beyond the frame (property)', () => {
    const type = fc.constantFrom(0x0800, 0x86dd, 0x8100, 0x88b5);
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 14, maxLength: 120 }),
        type,
        fc.nat(255),
        (bytes, t, first) => {
          viewOf(bytes).setUint16(12, t);
          if (bytes.length > 14) bytes[14] = first;
          const frame = marked(bytes);
          assert.ok(frame.len <= bytes.length);
          if (frame.checksum === 'partial') {
            assert.ok(frame.csumStart + frame.csumOffset + 2 <= frame.len);
          }
        },
      ),
    );
  });
});
