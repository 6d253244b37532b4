import assert from 'node:assert/strict';
import fc from 'fast-check';
import { makeSlab } from '../../src/base/slab.ts';
import {
  checkDhcp,
  dhcpMac,
  dhcpMessageType,
  dhcpOption,
  dhcpYiaddr,
  emitDhcpReply,
  encodeSearchList,
  NAK,
  OFFER,
  replyDestination,
} from '../../src/wire/dhcp.ts';

const DISCOVER_OPTIONS = [53, 1, 1, 255];

function request(options: readonly number[], change?: (bytes: Uint8Array) => void): DataView {
  const bytes = new Uint8Array(240 + options.length);
  bytes.set([1, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe]);
  bytes.set([2, 0, 0, 0, 0, 1], 28);
  bytes.set([0x63, 0x82, 0x53, 0x63, ...options], 236);
  change?.(bytes);
  return new DataView(bytes.buffer);
}

describe('DHCP messages', () => {
  it('accepts the shortest DISCOVER seen: 244 bytes, no padding', () => {
    const view = request(DISCOVER_OPTIONS);
    assert.equal(view.byteLength, 244);
    assert.equal(checkDhcp(view), undefined);
    assert.equal(dhcpMac(view), '02:00:00:00:00:01');
  });

  const REFUSED: readonly (readonly [string, DataView, string])[] = [
    ['shorter than BOOTP', new DataView(new ArrayBuffer(235)), 'dhcp-truncated'],
    ['a reply', request(DISCOVER_OPTIONS, (b) => b.set([2])), 'dhcp-not-a-request'],
    ['another medium', request(DISCOVER_OPTIONS, (b) => b.set([6], 1)), 'dhcp-bad-hardware'],
    [
      'a long hardware address',
      request(DISCOVER_OPTIONS, (b) => b.set([16], 2)),
      'dhcp-bad-hardware',
    ],
    ['plain BOOTP: no cookie', request(DISCOVER_OPTIONS, (b) => b.set([0], 236)), 'dhcp-not-dhcp'],
    ['no message type', request([255]), 'dhcp-not-dhcp'],
    ['an option beyond the end', request([53, 1, 1, 12, 9, 65]), 'dhcp-bad-options'],
    ['an option without its length', request([53, 1, 1, 12]), 'dhcp-bad-options'],
    [
      'an option beyond an overloaded file field',
      request([53, 1, 1, 52, 1, 1, 255], (b) => b.set([12, 255], 108)),
      'dhcp-bad-options',
    ],
    ['a message type of the wrong length', request([53, 2, 1, 1, 255]), 'dhcp-not-dhcp'],
    [
      'an option beyond an overloaded field',
      request([53, 1, 1, 52, 1, 2, 255], (b) => b.set([12, 64], 44)),
      'dhcp-bad-options',
    ],
  ];
  for (const [what, view, reason] of REFUSED) {
    it(`refuses ${what}: ${reason}`, () => assert.equal(checkDhcp(view), reason));
  }

  it('forgives a missing end mark, and pads; an overload of the wrong length is none', () => {
    const view = request([0, 53, 1, 1, 52, 2, 3, 3], (bytes) => bytes.set([12, 1, 65, 255], 108));
    assert.equal(checkDhcp(view), undefined);
    assert.equal(dhcpOption(view, 12), undefined);
  });

  it('finds nothing in a message that was not checked and is broken', () => {
    assert.equal(dhcpOption(request([12, 9, 65]), 12), undefined);
  });

  it('leaves out an option that does not fit, and writes those that do', () => {
    const out = makeSlab(1472);
    const options = [
      { code: 12, data: new Uint8Array(500) },
      { code: 15, data: Uint8Array.of(65) },
    ];
    const cut: number[][] = [];
    const onCut = (code: number, len: number): void => {
      cut.push([code, len]);
    };
    const repr = { ciaddr: 0, yiaddr: 0, broadcast: false, options, maxLen: 300, onCut };
    const len = emitDhcpReply(out, 0, request(DISCOVER_OPTIONS), repr);
    assert.deepEqual(cut, [[12, 0]]);
    const reply = new DataView(out.bytes.buffer, out.bytes.byteOffset, len);
    assert.equal(dhcpOption(reply, 12), undefined);
    assert.deepEqual(dhcpOption(reply, 15), Uint8Array.of(65));
  });

  it('reads options from overloaded fields after the options proper (RFC 2131 §4.1)', () => {
    const view = request([53, 1, 1, 52, 1, 3, 255], (bytes) => {
      bytes.set([12, 1, 65, 255], 108); // file
      bytes.set([12, 1, 66, 15, 1, 67, 255], 44); // sname
    });
    assert.equal(checkDhcp(view), undefined);
    assert.deepEqual(dhcpOption(view, 12), Uint8Array.of(65));
    assert.deepEqual(dhcpOption(view, 15), Uint8Array.of(67));
  });

  it('encodes a search list as RFC 3397 §2 does, leaving out what DNS cannot hold', () => {
    const { data } = encodeSearchList(['ab.c.', 'bad..name', 'x'.repeat(64), 'd']);
    assert.deepEqual([...data], [2, 97, 98, 1, 99, 0, 1, 100, 0]);
  });

  it('compresses a search list, whose beginnings are the shorter lists', () => {
    const { data, cuts } = encodeSearchList(['eng.apple.com', 'marketing.Apple.com', 'com', 'x']);
    // RFC 3397 §2: the second is a label and a pointer to "apple.com", at 4.
    const eng = [3, 101, 110, 103, 5, 97, 112, 112, 108, 101, 3, 99, 111, 109, 0];
    const marketing = [9, 109, 97, 114, 107, 101, 116, 105, 110, 103, 0xc0, 4];
    assert.deepEqual([...data], [...eng, ...marketing, 0xc0, 10, 1, 120, 0]);
    assert.deepEqual(cuts, [15, 27, 29, 32]);
  });

  it('cuts an option that may be cut to what fits, and says so', () => {
    const cut: number[][] = [];
    const out = makeSlab(1472);
    const data = new Uint8Array(400).fill(7);
    const repr = {
      ...{ ciaddr: 0, yiaddr: 0, broadcast: false, maxLen: 240 + 2 + 255 + 2 + 45 + 1 },
      options: [{ code: 119, data, cuts: [100, 300, 301, 400] }],
      onCut: (code: number, len: number) => cut.push([code, len]),
    };
    assert.equal(emitDhcpReply(out, 0, request(DISCOVER_OPTIONS), repr), repr.maxLen);
    assert.deepEqual(cut, [[119, 300]]);
  });

  it('splits an option above 255 bytes (RFC 3396 §5)', () => {
    const out = makeSlab(1472);
    const data = new Uint8Array(300).fill(7);
    const repr = {
      ciaddr: 0,
      yiaddr: 0,
      broadcast: false,
      options: [{ code: 119, data }],
      maxLen: 1472,
    };
    const len = emitDhcpReply(out, 0, request(DISCOVER_OPTIONS), repr);
    assert.equal(len, 240 + 2 + 255 + 2 + 45 + 1);
    assert.deepEqual([...out.bytes.subarray(240, 242)], [119, 255]);
    assert.deepEqual([...out.bytes.subarray(497, 499)], [119, 45]);
  });

  it('gives back the options it wrote, at any offset, in at most maxLen bytes', () => {
    const option = fc.record({
      code: fc.integer({ min: 54, max: 254 }),
      data: fc.uint8Array({ minLength: 1, maxLength: 255 }),
    });
    const options = fc.uniqueArray(option, { selector: ({ code }) => code, maxLength: 12 });
    fc.assert(
      fc.property(options, fc.integer(), fc.nat(20), (list, yiaddr, off) => {
        const out = makeSlab(off + 1472);
        const type = { code: 53, data: Uint8Array.of(OFFER) };
        const repr = { ciaddr: 0, yiaddr, broadcast: false, options: [type, ...list], maxLen: 548 };
        const len = emitDhcpReply(out, off, request(DISCOVER_OPTIONS), repr);
        assert.ok(len >= 300 && len <= 548);
        const reply = new DataView(out.bytes.buffer, off, len);
        assert.equal(dhcpMessageType(reply), OFFER);
        assert.equal(dhcpYiaddr(reply), yiaddr);
        assert.equal(reply.getUint32(4), 0xcafe_babe);
        let at = 243;
        for (const { code, data } of list) {
          const fits = at + 2 + data.length + 1 <= 548;
          if (fits) at += 2 + data.length;
          assert.deepEqual(dhcpOption(reply, code), fits ? data : undefined);
        }
      }),
    );
  });

  const CARRIERS: readonly (readonly [string, number, number, number, boolean, string])[] = [
    ['a NAK is broadcast', NAK, 0, 0, false, 'broadcast'],
    ['a client with an address is sent to it', 5, 1, 1, true, 'ciaddr'],
    ['a client that asks for broadcast gets it', OFFER, 0, 1, true, 'broadcast'],
    ['any other is sent to its new address', OFFER, 0, 1, false, 'yiaddr'],
  ];
  for (const [rule, type, ciaddr, yiaddr, broadcast, way] of CARRIERS) {
    it(`${rule} (RFC 2131 §4.1)`, () => {
      const out = makeSlab(1472);
      const options = [{ code: 53, data: Uint8Array.of(type) }];
      const repr = { ciaddr, yiaddr, broadcast, options, maxLen: 548 };
      const len = emitDhcpReply(out, 0, request(DISCOVER_OPTIONS), repr);
      assert.equal(replyDestination(new DataView(out.bytes.buffer, 0, len)), way);
    });
  }

  it('never throws on hostile bytes: it names a reason, or every accessor works', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      fc.uint8Array({ maxLength: 100 }).map((tail) => {
        const view = request([53, 1, 1, 52, 1, tail[0] ?? 0, ...tail]);
        new Uint8Array(view.buffer).set(tail.subarray(0, 64), 44);
        return new Uint8Array(view.buffer);
      }),
    );
    fc.assert(
      fc.property(bytes, (raw) => {
        const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
        if (checkDhcp(view) !== undefined) return;
        for (let code = 0; code < 256; code++) dhcpOption(view, code);
      }),
    );
  });
});
