import assert from 'node:assert/strict';
import fc from 'fast-check';
import { seq } from '../../src/base/seq.ts';
import { sum16 } from '../../src/wire/checksum.ts';
import {
  ACK,
  checkTcp,
  emitTcp,
  FIN,
  PSH,
  RST,
  SYN,
  tcpAck,
  tcpDstPort,
  tcpFlags,
  tcpHeaderLen,
  tcpSeq,
  tcpSrcPort,
  tcpWindow,
} from '../../src/wire/tcp.ts';

const u16 = fc.nat(65_535);
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const SUM = 0x1234;
const SMALL = {
  srcPort: 1,
  dstPort: 2,
  sequence: seq(3),
  acknowledgment: seq(4),
  headerLen: 20,
  window: 5,
  addressSum: SUM,
  partial: false,
};

describe('wire/tcp', () => {
  it('reads back what it wrote, at any offset, and its checksum holds', () => {
    const flags = fc.constantFrom(ACK, SYN, SYN | ACK, FIN | ACK, RST, PSH | ACK);
    fc.assert(
      fc.property(
        fc.nat(7),
        fc.nat(10),
        fc.nat(100),
        u16,
        u16,
        word,
        word,
        flags,
        u16,
        (off, opts, len, sp, dp, s, a, f, w) => {
          const headerLen = 20 + 4 * opts;
          const view = new DataView(new ArrayBuffer(off + headerLen + len));
          emitTcp(view, off, {
            srcPort: sp,
            dstPort: dp,
            sequence: seq(s),
            acknowledgment: seq(a),
            headerLen,
            flags: f,
            window: w,
            len: headerLen + len,
            addressSum: SUM,
            partial: false,
          });
          assert.equal(checkTcp(view, off, headerLen + len, SUM), undefined);
          assert.deepEqual(
            [tcpSrcPort, tcpDstPort, tcpSeq, tcpAck, tcpHeaderLen, tcpFlags, tcpWindow].map((g) =>
              g(view, off),
            ),
            [sp, dp, s, a, headerLen, f, w],
          );
        },
      ),
    );
  });

  it('never throws on hostile bytes, and what it accepts is in bounds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const view = new DataView(bytes.buffer);
        if (checkTcp(view, 0, bytes.length, -1) === undefined) {
          assert.ok(tcpHeaderLen(view, 0) <= bytes.length);
        }
      }),
    );
  });

  const rows: readonly (readonly [string, (view: DataView) => void, number, string | undefined])[] =
    [
      ['19 bytes', () => {}, 19, 'tcp-truncated'],
      ['a header of 16 bytes', (v) => v.setUint8(12, 0x40), 24, 'tcp-bad-offset'],
      ['a header longer than the segment', (v) => v.setUint8(12, 0xf0), 24, 'tcp-bad-offset'],
      ['a flipped bit', (v) => v.setUint8(21, 1), 24, 'tcp-bad-checksum'],
      ['sound', () => {}, 24, undefined],
    ];
  for (const [name, spoil, len, expected] of rows) {
    it(`${name}: ${expected ?? 'accepted'}`, () => {
      const view = new DataView(new ArrayBuffer(24));
      emitTcp(view, 0, { ...SMALL, flags: ACK, len: 24 });
      spoil(view);
      assert.equal(checkTcp(view, 0, len, SUM), expected);
    });
  }

  for (const [flags, fault] of [
    [0, true],
    [PSH, true],
    [SYN | FIN, true],
    [SYN | RST, true],
    [SYN | ACK, false],
    [FIN, false],
    [RST | ACK, false],
  ] as const) {
    it(`flags ${flags} are ${fault ? 'refused' : 'taken'}`, () => {
      const view = new DataView(new ArrayBuffer(20));
      emitTcp(view, 0, { ...SMALL, flags, len: 20 });
      assert.equal(checkTcp(view, 0, 20, SUM), fault ? 'tcp-bad-flags' : undefined);
    });
  }

  it('leaves the pseudo-header sum to a link that completes it', () => {
    const view = new DataView(new ArrayBuffer(24));
    view.setUint32(20, 0x0102_0304);
    emitTcp(view, 0, { ...SMALL, flags: ACK, len: 24, partial: true });
    assert.equal(view.getUint16(16), SUM + 24);
    view.setUint16(16, ~sum16(view, 0, 24) & 0xffff); // what the kernel does
    assert.equal(checkTcp(view, 0, 24, SUM), undefined);
  });
});
