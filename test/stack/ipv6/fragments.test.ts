/** Fragments of IPv6 (RFC 8200 §4.5, RFC 5722, RFC 6946, RFC 7112, RFC 8021), as packet scripts. One row a rule. */
import assert from 'node:assert/strict';
import { IPV6 } from '../../support/family.ts';
import { GUEST_IP, SERVER_IP, viewOf } from '../../support/frames.ts';
import {
  frame6,
  GATEWAY6,
  GUEST6,
  ICMPV6,
  type Ip6Fields,
  ndp,
  PADDING,
  packet6,
  summed,
  through,
  UDP,
  udp6,
} from '../../support/frames6.ts';
import { permute } from '../../support/permute.ts';
import type { Script } from '../../support/script.ts';
import { icmp6Out, messages, numbers, script6 } from '../../support/script6.ts';

const FRAGMENT = 44;
const DATA = numbers(92); // with the UDP header: 100 bytes, in five pieces
const ENDS = through();
const WHOLE = udp6(1111, 53, DATA, ENDS);
const id = {
  guest: IPV6.address(GUEST_IP),
  guestPort: 1111,
  remote: IPV6.address(SERVER_IP),
  remotePort: 53,
};

interface PieceFields extends Ip6Fields {
  readonly id?: number;
  readonly protocol?: number;
  /** Extension headers before the fragment header. */
  readonly before?: readonly (readonly [number, readonly number[]])[];
}

/** One fragment with `bytes` at `at` of the payload. */
function piece(
  bytes: readonly number[],
  at: number,
  more: boolean,
  fields: PieceFields = {},
): Uint8Array {
  const { id: number = 7, protocol = UDP, before = [], ...ends } = fields;
  const word = at | (more ? 1 : 0);
  const header = [0, word >> 8, word & 255, 0, 0, number >> 8, number & 255];
  return frame6(protocol, bytes, { ...ENDS, ...ends, extensions: [...before, [FRAGMENT, header]] });
}

function cut(whole: readonly number[], size: number, fields: PieceFields = {}): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += size) {
    out.push(piece(whole.slice(at, at + size), at, at + size < whole.length, fields));
  }
  return out;
}

const received = (s: Script): number[][] => s.datagrams.map(({ data }) => [...data]);

describe('stack/ipv6 fragments', () => {
  it('every order of pieces gives the datagram', () => {
    for (const order of permute(cut(WHOLE, 24))) {
      assert.deepEqual(received(script6().frames(...order)), [DATA]);
    }
  });

  it('a copy of any piece does no harm', () => {
    const pieces = cut(WHOLE, 24);
    for (const copy of pieces) {
      const s = script6().frames(...pieces.slice(0, 4), copy, ...pieces.slice(4));
      assert.equal(s.datagrams.length, 1);
    }
  });

  it('what overlaps kills the datagram (RFC 5722)', () => {
    const [a, b, c, d, e] = cut(WHOLE, 24);
    assert.ok(a && b && c && d && e);
    const nines = new Array<number>(32).fill(9);
    for (const order of [
      [a, piece(nines, 16, true), b, c, d, e],
      [b, piece(nines.slice(8), 24, true), a, c, d, e],
      [e, piece(nines, 160, true), a, b, c, d],
      [d, piece(nines.slice(24), 16, false), a, b, c, e],
    ]) {
      const s = script6().frames(...order);
      assert.deepEqual(s.datagrams, []);
      assert.ok((s.drops()['fragment-overlap'] ?? 0) >= 1);
      assert.deepEqual(icmp6Out(s), []);
    }
  });

  it('pieces meet by source, destination and number alone', () => {
    for (const other of [{ id: 8 }, { src: 'fd12:3456:789a:1::3' }, { dst: GATEWAY6 }]) {
      const s = script6().frames(...cut(WHOLE, 56).slice(0, 1), ...cut(WHOLE, 56, other).slice(1));
      assert.deepEqual(s.datagrams, []);
      assert.equal(Object.keys(s.drops()).length, 0);
    }
  });

  it('an atomic fragment is a datagram, whatever waits under its number (RFC 6946)', () => {
    const s = script6().frames(...cut(WHOLE, 56).slice(0, 1), piece(WHOLE, 0, false));
    assert.deepEqual(received(s), [DATA]);
    s.frames(...cut(WHOLE, 56).slice(1));
    assert.deepEqual(received(s), [DATA, DATA]);
  });

  it('headers before the fragment header are those of the first piece, and skipped', () => {
    const before = [
      [0, PADDING],
      [60, PADDING],
    ] as const;
    assert.deepEqual(received(script6().frames(...cut(WHOLE, 24, { before }))), [DATA]);
  });

  it('headers behind it are of what is put together', () => {
    const options = [UDP, ...PADDING, ...WHOLE];
    assert.deepEqual(received(script6().frames(...cut(options, 24, { protocol: 60 }))), [DATA]);
  });

  const late: readonly (readonly [string, number, readonly number[], string, number[][]])[] = [
    ['hop-by-hop options', 0, [UDP, ...PADDING, ...WHOLE], 'ipv6-bad-header-order', [[4, 1, 6]]],
    ['a fragment', FRAGMENT, [UDP, 0, 0, 1, 0, 0, 0, 9, ...WHOLE], 'ipv6-nested-fragment', []],
    ['an unknown protocol', 132, numbers(100), 'ipv6-unknown-protocol', [[4, 1, 6]]],
    [
      'an unknown option',
      60,
      [UDP, 0, 0xc0, 4, 0, 0, 0, 0, ...WHOLE],
      'ipv6-unknown-option',
      [[4, 2, 42]],
    ],
    [
      'UDP without a sum',
      UDP,
      WHOLE.map((byte, i) => (i === 6 || i === 7 ? 0 : byte)),
      'udp-no-checksum',
      [],
    ],
    [
      'UDP with a wrong sum',
      UDP,
      WHOLE.map((byte, i) => (i === 7 ? byte ^ 1 : byte)),
      'udp-bad-checksum',
      [],
    ],
    [
      'Neighbor Discovery',
      ICMPV6,
      summed(ICMPV6, [...ndp(135, GATEWAY6), ...numbers(8)], 2, ENDS),
      'ndp-fragmented',
      [],
    ],
  ];
  for (const [name, protocol, whole, reason, errors] of late) {
    it(`put together, it is refused: ${name}`, () => {
      const s = script6().frames(...cut(whole, 24, { protocol, hopLimit: 255 }));
      assert.deepEqual(s.drops(), { [reason]: 1 });
      assert.deepEqual(icmp6Out(s), errors);
      assert.deepEqual(s.datagrams, []);
    });
  }

  it('Neighbor Discovery in an atomic fragment is refused (RFC 6980)', () => {
    const message = summed(ICMPV6, ndp(135, GATEWAY6), 2, ENDS);
    const s = script6().frames(piece(message, 0, false, { protocol: ICMPV6, hopLimit: 255 }));
    assert.deepEqual(s.drops(), { 'ndp-fragmented': 1 });
    assert.deepEqual(s.writer.take(), []);
  });

  const single: readonly (readonly [string, Uint8Array, string, number[][]])[] = [
    [
      'a length that is no multiple of 8',
      piece(numbers(15), 0, true),
      'fragment-bad-length',
      [[4, 0, 4]],
    ],
    [
      'an end beyond 65,535',
      piece(numbers(16), 65_528, false),
      'fragment-bad-length',
      [[4, 0, 42]],
    ],
    [
      'the same behind options',
      piece(numbers(16), 65_528, false, { before: [[60, PADDING]] }),
      'fragment-bad-length',
      [[4, 0, 50]],
    ],
    ['nothing in it', piece([], 8, false), 'fragment-bad-length', []],
    [
      'a first piece without its options',
      piece([UDP, 1, ...PADDING.slice(1)], 0, true, { protocol: 60 }),
      'ipv6-incomplete-headers',
      [[4, 3, 0]],
    ],
    [
      'a first piece with half of TCP',
      piece(numbers(16), 0, true, { protocol: 6 }),
      'ipv6-incomplete-headers',
      [[4, 3, 0]],
    ],
    [
      'a fragment header that is cut',
      frame6(FRAGMENT, [UDP, 0, 0, 1], ENDS),
      'ipv6-incomplete-headers',
      [[4, 0, 40]],
    ],
  ];
  for (const [name, frame, reason, errors] of single) {
    it(`is refused: ${name}`, () => {
      const s = script6().frames(frame);
      assert.deepEqual(s.drops(), { [reason]: 1 });
      assert.deepEqual(icmp6Out(s), errors);
      assert.equal(s.stack.nextTimeout(), Number.POSITIVE_INFINITY);
    });
  }

  it('gives up after 30 seconds, and reports it when it has the start (RFC 8200 §4.5)', () => {
    const s = script6().frames(...cut(WHOLE, 24).slice(0, 2));
    s.advance(30_100);
    assert.equal(s.drops()['fragment-timed-out'], 1);
    const [error] = messages(s);
    assert.ok(error);
    const quote = viewOf(error.subarray(8));
    assert.deepEqual([error[0], error[1]], [3, 1]);
    assert.deepEqual([quote.getUint8(6), quote.getUint16(4)], [UDP, 48]);
    assert.deepEqual([...error.subarray(48)], WHOLE.slice(0, 48));
    const silent = script6().frames(...cut(WHOLE, 24).slice(1, 2));
    silent.advance(30_100);
    assert.deepEqual(silent.writer.take(), []);
  });

  it('holds 64 datagrams with those of IPv4; the oldest gives way', () => {
    const s = script6();
    for (let i = 0; i < 70; i++) s.frames(...cut(WHOLE, 24, { id: i }).slice(0, 1));
    assert.equal(s.drops()['fragment-evicted'], 6);
  });

  for (const mtu of [1280, 1500, 9000, 65_520]) {
    it(`65,507 bytes of UDP both ways at MTU ${mtu}`, () => {
      const data = numbers(65_507);
      const s = script6({ mtu });
      s.frames(...cut(udp6(1111, 53, data, ENDS), (mtu - 48) & ~7));
      assert.deepEqual(received(s), [data]);
      const whole = new Uint8Array(65_515);
      assert.ok(s.stack.sendDatagram(s.now, id, Uint8Array.from(data), 0, data.length));
      const packets = s.writer.take().map(packet6);
      for (const [i, { upper, protocol, dst }] of packets.entries()) {
        assert.ok(40 + upper.length <= mtu);
        assert.deepEqual([protocol, dst, upper[0]], [FRAGMENT, GUEST6, UDP]);
        const word = viewOf(upper).getUint16(2);
        assert.equal(word & 1, i < packets.length - 1 ? 1 : 0);
        whole.set(upper.subarray(8), word & 0xfff8);
      }
      assert.deepEqual([...whole.subarray(8)], data);
      const back = summed(UDP, [...whole], 6, { src: ENDS.dst ?? '', dst: GUEST6 });
      assert.deepEqual([...whole], back);
      assert.equal(new Set(packets.map(({ upper }) => viewOf(upper).getUint32(4))).size, 1);
    });
  }

  it('of ours, a datagram that fits has no fragment header; each that does not has its own number', () => {
    const s = script6().frames(...cut(WHOLE, 200));
    const sent = (len: number): number[] => {
      assert.ok(s.stack.sendDatagram(s.now, id, new Uint8Array(len), 0, len));
      return s.writer.take().map((frame) => {
        const { protocol, upper } = packet6(frame);
        return protocol === FRAGMENT ? viewOf(upper).getUint32(4) : -1;
      });
    };
    assert.deepEqual(sent(1452), [-1]);
    const [first, second] = [sent(1453), sent(1453)];
    assert.equal(first.length, 2);
    assert.equal(first[0], first[1]);
    assert.notEqual(first[0], second[0]);
  });
});
