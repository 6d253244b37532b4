/** ARP, ICMP, Ethernet and its addresses: the small codecs. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  ARP_LEN,
  arpOperation,
  arpSenderIp,
  arpSenderMac,
  arpTargetIp,
  checkArp,
  emitArp,
} from '../../src/wire/arp.ts';
import { etherType, setEtherType, skipVlanTags } from '../../src/wire/ethernet.ts';
import {
  checkIcmp,
  echoIdentifier,
  echoSequence,
  emitEcho,
  emitIcmpError,
  icmpCode,
  icmpNextHopMtu,
  icmpType,
} from '../../src/wire/icmpv4.ts';
import { formatMac, isGroupMac, readMac, writeMac } from '../../src/wire/mac.ts';

const mac = fc.integer({ min: 0, max: 0xffff_ffff_ffff });
const u16 = fc.nat(65_535);
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

describe('wire/arp', () => {
  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(
        fc.nat(7),
        fc.constantFrom(1, 2),
        mac,
        word,
        mac,
        word,
        (off, operation, senderMac, senderIp, targetMac, targetIp) => {
          const view = new DataView(new ArrayBuffer(off + ARP_LEN));
          emitArp(view, off, { operation, senderMac, senderIp, targetMac, targetIp });
          assert.equal(checkArp(view, off, ARP_LEN), undefined);
          assert.deepEqual(
            [
              arpOperation(view, off),
              arpSenderMac(view, off),
              arpSenderIp(view, off),
              arpTargetIp(view, off),
            ],
            [operation, senderMac, senderIp, targetIp],
          );
        },
      ),
    );
  });

  const rows: readonly (readonly [string, (view: DataView) => void, number, string])[] = [
    ['27 bytes', () => {}, 27, 'arp-truncated'],
    ['another hardware', (v) => v.setUint16(0, 6), 28, 'arp-not-ipv4-over-ethernet'],
    ['another protocol', (v) => v.setUint16(2, 0x86dd), 28, 'arp-not-ipv4-over-ethernet'],
    ['other lengths', (v) => v.setUint16(4, 0x0610), 28, 'arp-not-ipv4-over-ethernet'],
    ['RARP', (v) => v.setUint16(6, 3), 28, 'arp-bad-operation'],
  ];
  for (const [name, spoil, len, expected] of rows) {
    it(`${name}: ${expected}`, () => {
      const view = new DataView(new ArrayBuffer(28));
      emitArp(view, 0, { operation: 1, senderMac: 1, senderIp: 2, targetMac: 3, targetIp: 4 });
      spoil(view);
      assert.equal(checkArp(view, 0, len), expected);
    });
  }

  it('never throws on hostile bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        checkArp(new DataView(bytes.buffer), 0, bytes.length);
      }),
    );
  });
});

describe('wire/icmpv4', () => {
  it('reads back an echo, and its checksum holds', () => {
    fc.assert(
      fc.property(
        fc.nat(7),
        u16,
        u16,
        fc.uint8Array({ maxLength: 60 }),
        (off, id, sequence, data) => {
          const bytes = new Uint8Array(off + 8 + data.length);
          bytes.set(data, off + 8);
          const view = new DataView(bytes.buffer);
          emitEcho(view, off, 8, id, sequence, data.length);
          assert.equal(checkIcmp(view, off, 8 + data.length), undefined);
          assert.deepEqual(
            [
              icmpType(view, off),
              icmpCode(view, off),
              echoIdentifier(view, off),
              echoSequence(view, off),
            ],
            [8, 0, id, sequence],
          );
        },
      ),
    );
  });

  it('reads back an error', () => {
    const view = new DataView(new ArrayBuffer(36));
    emitIcmpError(view, 0, 3, 4, 1400, 28);
    assert.equal(checkIcmp(view, 0, 36), undefined);
    assert.deepEqual([icmpType(view, 0), icmpCode(view, 0), icmpNextHopMtu(view, 0)], [3, 4, 1400]);
  });

  it('drops what is short or spoilt', () => {
    const view = new DataView(new ArrayBuffer(8));
    emitEcho(view, 0, 0, 1, 2, 0);
    assert.equal(checkIcmp(view, 0, 7), 'icmp-truncated');
    view.setUint8(5, 9);
    assert.equal(checkIcmp(view, 0, 8), 'icmp-bad-checksum');
  });
});

describe('wire/mac', () => {
  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(mac, fc.nat(7), (address, off) => {
        const view = new DataView(new ArrayBuffer(off + 6));
        writeMac(view, off, address);
        assert.equal(readMac(view, off), address);
      }),
    );
  });

  it('knows groups by the lowest bit of the first byte', () => {
    assert.equal(isGroupMac(0xffff_ffff_ffff), true);
    assert.equal(isGroupMac(0x3333_0000_0001), true);
    assert.equal(isGroupMac(0x5254_0012_3456), false);
  });

  it('prints six pairs', () => {
    assert.equal(formatMac(0x0054_000a_3456), '00:54:00:0a:34:56');
    assert.equal(formatMac(0), '00:00:00:00:00:00');
  });
});

describe('wire/ethernet', () => {
  it('reads back the type', () => {
    const view = new DataView(new ArrayBuffer(20));
    setEtherType(view, 3, 0x0806);
    assert.equal(etherType(view, 3), 0x0806);
  });

  for (const [what, types, len, after] of [
    ['no tag', [0x0800], 14, 14],
    ['one tag', [0x8100, 0x0800], 18, 18],
    ['two tags', [0x88a8, 0x8100, 0x0800], 22, 22],
    ['a third tag is what follows', [0x8100, 0x8100, 0x8100, 0x0800], 26, 22],
    ['no header', [], 13, -1],
    ['an end within a tag', [0x8100, 0x0800], 17, -1],
  ] as const) {
    it(`VLAN tags: ${what}`, () => {
      const view = new DataView(new ArrayBuffer(64));
      for (const [i, type] of types.entries()) setEtherType(view, 3 + 4 * i, type);
      assert.equal(skipVlanTags(view, 3, len), after === -1 ? -1 : 3 + after);
    });
  }
});
