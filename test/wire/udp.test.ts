import assert from 'node:assert/strict';
import fc from 'fast-check';
import { pseudoAddressSum } from '../../src/wire/checksum.ts';
import {
  checkUdp,
  emitUdp,
  UDP_HEADER_LEN,
  udpDstPort,
  udpLength,
  udpQuotedLen,
  udpSrcPort,
} from '../../src/wire/udp.ts';

const SUM = pseudoAddressSum(
  new Int32Array([0, 0, 0, 0x0a00_020f, 0, 0, 0, 0x0a00_0202]),
  0,
  4,
  4,
  17,
);
const port = fc.integer({ min: 0, max: 65535 });

describe('wire/udp', () => {
  it('reads back what it wrote, at any offset, and its checksum holds', () => {
    fc.assert(
      fc.property(
        port,
        port,
        fc.uint8Array({ maxLength: 64 }),
        fc.nat(7),
        (src, dst, body, off) => {
          const len = UDP_HEADER_LEN + body.length;
          const bytes = new Uint8Array(off + len);
          const view = new DataView(bytes.buffer);
          bytes.set(body, off + UDP_HEADER_LEN);
          emitUdp(view, off, src, dst, body.length, SUM);
          assert.equal(checkUdp(view, off, len, SUM), undefined);
          assert.equal(udpSrcPort(view, off), src);
          assert.equal(udpDstPort(view, off), dst);
          assert.equal(udpLength(view, off), len);
        },
      ),
    );
  });

  it('of a quoted datagram there is all or less', () => {
    const view = new DataView(new ArrayBuffer(20));
    view.setUint16(4, 12);
    assert.deepEqual([udpQuotedLen(view, 0, 12), udpQuotedLen(view, 0, 20)], [4, 4]);
    assert.equal(udpQuotedLen(view, 0, 11), -1);
    view.setUint16(4, 7);
    assert.equal(udpQuotedLen(view, 0, 20), -1);
  });

  it('never throws on hostile bytes: it names a reason or accepts', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const fault = checkUdp(new DataView(bytes.buffer), 0, bytes.length, SUM);
        if (fault === undefined)
          assert.ok(udpLength(new DataView(bytes.buffer), 0) <= bytes.length);
      }),
    );
  });

  const broken: readonly (readonly [
    string,
    (view: DataView) => void,
    number,
    string | undefined,
  ])[] = [
    ['a short header', () => {}, 7, 'udp-truncated'],
    ['a length below the header', (v) => v.setUint16(4, 7), 12, 'udp-bad-length'],
    ['a length beyond the packet', (v) => v.setUint16(4, 13), 12, 'udp-bad-length'],
    ['one flipped bit', (v) => v.setUint8(9, 1), 12, 'udp-bad-checksum'],
    ['no checksum (RFC 768)', (v) => v.setUint32(6, 0x0000_0001), 12, undefined],
    ['padding behind it', () => {}, 12, undefined],
  ];
  for (const [name, spoil, len, expected] of broken) {
    it(`${name}: ${expected ?? 'accepted'}`, () => {
      const view = new DataView(new ArrayBuffer(16));
      emitUdp(view, 0, 68, 67, 4, SUM);
      spoil(view);
      assert.equal(checkUdp(view, 0, len, SUM), expected);
    });
  }

  it('does not verify when the link vouches', () => {
    const view = new DataView(new ArrayBuffer(12));
    emitUdp(view, 0, 68, 67, 4, SUM);
    view.setUint8(9, 1);
    assert.equal(checkUdp(view, 0, 12, -1), undefined);
  });

  it('sends a computed zero as all ones', () => {
    const view = new DataView(new ArrayBuffer(10));
    emitUdp(view, 0, 1, 2, 2, SUM);
    const plain = view.getUint16(6);
    view.setUint16(8, plain); // adding the checksum itself to the sum makes it zero
    emitUdp(view, 0, 1, 2, 2, SUM);
    assert.equal(view.getUint16(6), 0xffff);
    assert.equal(checkUdp(view, 0, 10, SUM), undefined);
  });
});
