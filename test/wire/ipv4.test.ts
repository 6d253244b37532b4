import assert from 'node:assert/strict';
import fc from 'fast-check';
import { sum16 } from '../../src/wire/checksum.ts';
import {
  checkIpv4,
  emitIpv4,
  ipv4Dst,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Identification,
  ipv4Protocol,
  ipv4Src,
  ipv4TotalLength,
  ipv4Ttl,
} from '../../src/wire/ipv4.ts';

const SMALL = { identification: 1, fragment: 0, ttl: 64, protocol: 17, src: 1, dst: 2 };

const u16 = fc.nat(65_535);
const u8 = fc.nat(255);
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

describe('wire/ipv4', () => {
  it('reads back what it wrote, at any offset, and its checksum holds', () => {
    fc.assert(
      fc.property(
        fc.nat(7),
        fc.nat(1480),
        u16,
        u16,
        u8,
        u8,
        word,
        word,
        (off, len, id, frag, ttl, proto, src, dst) => {
          const view = new DataView(new ArrayBuffer(off + 20 + len));
          emitIpv4(view, off, {
            totalLength: 20 + len,
            identification: id,
            fragment: frag,
            ttl,
            protocol: proto,
            src,
            dst,
          });
          assert.equal(checkIpv4(view, off, 20 + len), undefined);
          assert.deepEqual(
            [
              ipv4HeaderLen,
              ipv4TotalLength,
              ipv4Identification,
              ipv4Fragment,
              ipv4Ttl,
              ipv4Protocol,
              ipv4Src,
              ipv4Dst,
            ].map((field) => field(view, off)),
            [20, 20 + len, id, frag, ttl, proto, src, dst],
          );
        },
      ),
    );
  });

  it('never throws on hostile bytes, and what it accepts is in bounds', () => {
    const lead = fc.constantFrom(0x45, 0x46, 0x4f, 0x44, 0x60, 0);
    fc.assert(
      fc.property(lead, fc.uint8Array({ maxLength: 70 }), (first, bytes) => {
        if (bytes.length > 0) bytes[0] = first;
        const view = new DataView(bytes.buffer);
        if (checkIpv4(view, 0, bytes.length) !== undefined) return;
        assert.ok(ipv4HeaderLen(view, 0) <= ipv4TotalLength(view, 0));
        assert.ok(ipv4TotalLength(view, 0) <= bytes.length);
      }),
    );
  });

  const rows: readonly (readonly [string, (view: DataView) => void, number, string | undefined])[] =
    [
      ['19 bytes', () => {}, 19, 'ipv4-truncated'],
      ['version 6', (v) => v.setUint8(0, 0x65), 28, 'ipv4-bad-version'],
      ['a header of 16 bytes', (v) => v.setUint8(0, 0x44), 28, 'ipv4-bad-header-length'],
      ['a header longer than the packet', (v) => v.setUint8(0, 0x4f), 28, 'ipv4-bad-header-length'],
      ['a total below the header', (v) => v.setUint16(2, 19), 28, 'ipv4-bad-total-length'],
      ['a total beyond the frame', (v) => v.setUint16(2, 29), 28, 'ipv4-bad-total-length'],
      ['a flipped bit', (v) => v.setUint8(8, 1), 28, 'ipv4-bad-checksum'],
      ['a checksum of zero (VPNKit’s DHCP client)', (v) => v.setUint16(10, 0), 28, undefined],
      ['Ethernet padding', () => {}, 32, undefined],
    ];
  for (const [name, spoil, len, expected] of rows) {
    it(`${name}: ${expected ?? 'accepted'}`, () => {
      const view = new DataView(new ArrayBuffer(40));
      emitIpv4(view, 0, { ...SMALL, totalLength: 28 });
      spoil(view);
      assert.equal(checkIpv4(view, 0, len), expected);
    });
  }

  it('skips options, and sums them', () => {
    const view = new DataView(new ArrayBuffer(32));
    emitIpv4(view, 0, { ...SMALL, totalLength: 32 });
    view.setUint8(0, 0x46);
    view.setUint32(20, 0x0101_0100);
    assert.equal(checkIpv4(view, 0, 32), 'ipv4-bad-checksum');
    view.setUint16(10, 0);
    view.setUint16(10, ~sum16(view, 0, 24) & 0xffff);
    assert.equal(checkIpv4(view, 0, 32), undefined);
    assert.equal(ipv4HeaderLen(view, 0), 24);
  });
});
