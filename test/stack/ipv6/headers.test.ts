/** Headers of IPv6 and their chain (RFC 8200 §3, §4), as packet scripts. One row a rule. */
import assert from 'node:assert/strict';
import { ethernetFrame, viewOf } from '../../support/frames.ts';
import {
  frame6,
  GATEWAY6,
  GUEST6,
  HOST6,
  type Ip6Fields,
  icmp6Frame,
  PADDING,
  packet6,
  ROUTER6,
  SERVER6,
  through,
  UDP,
  udp6,
} from '../../support/frames6.ts';
import { icmp6Out, messages, numbers, script6 } from '../../support/script6.ts';

const [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, NONE, DESTINATION] = [
  0, 43, 44, 51, 59, 60,
] as const;
type Extension = readonly [number, readonly number[]];

const datagram = (fields: Ip6Fields = {}): Uint8Array => {
  const ends = through(fields.dst, fields);
  return frame6(UDP, udp6(1111, 53, numbers(8), ends), ends);
};
const behind = (...extensions: readonly Extension[]): Uint8Array => datagram({ extensions });

const pad: Extension = [DESTINATION, PADDING];
const hop: Extension = [HOP_BY_HOP, PADDING];
/** Type 2, nothing left; the padding is of the header. */
const routing = (type: number, left: number): Extension => [ROUTING, [0, type, left, 0, 0, 0, 0]];
const atomic: Extension = [FRAGMENT, [0, 0, 0, 0, 0, 0, 7]];
const option = (type: number, kind: number = DESTINATION): Extension => [
  kind,
  [0, 1, 0, type, 1, 9, 0],
];

function altered(frame: Uint8Array, alter: (view: DataView) => void): Uint8Array {
  alter(viewOf(frame));
  return frame;
}

describe('stack/ipv6 headers', () => {
  const drops: readonly (readonly [string, Uint8Array])[] = [
    ['ipv6-truncated', ethernetFrame(0x86dd, 39)],
    ['ipv6-bad-version', altered(datagram(), (view) => view.setUint8(14, 0x45))],
    ['ipv6-bad-payload-length', altered(datagram(), (view) => view.setUint16(18, 17))],
    ['ipv6-bad-source', datagram({ src: GATEWAY6 })],
    ['ipv6-bad-source', datagram({ src: HOST6 })],
    ['ipv6-bad-source', datagram({ src: ROUTER6 })],
    ['ipv6-bad-source', datagram({ src: 'ff02::1' })],
    ['ipv6-bad-source', datagram({ src: '::' })],
    ['ipv6-bad-source', datagram({ src: '::1' })],
    ['ipv6-bad-source', datagram({ src: '::ffff:808:808' })],
    ['ipv6-bad-source', datagram({ src: '2001:db8::1' })],
    ['ipv6-source-not-on-subnet', datagram({ src: 'fd12:3456:789a:1::' })],
    ['ipv6-source-not-on-subnet', datagram({ src: 'fd12:3456:789a:2::2' })],
    ['ipv6-bad-destination', datagram({ dst: '::1' })],
    ['ipv6-bad-destination', datagram({ dst: '::' })],
    ['ipv6-bad-destination', datagram({ dst: '::ffff:c0a8:7ffe' })],
    ['ipv6-beyond-scope', datagram({ dst: 'fe80::77' })],
    ['ipv6-beyond-scope', datagram({ src: 'fe80::2' })],
    ['udp-group-destination', datagram({ dst: 'ff02::fb' })],
    ['ipv6-no-next-header', frame6(NONE, [], through())],
    ['ipv6-unknown-protocol', frame6(132, numbers(20), through())],
    ['ipv6-unknown-protocol', frame6(50, numbers(20), through())],
    ['udp-truncated', frame6(UDP, numbers(4), through())],
    ['udp-no-checksum', frame6(UDP, [4, 87, 0, 53, 0, 8, 0, 0], through())],
    ['udp-bad-checksum', frame6(UDP, [4, 87, 0, 53, 0, 8, 1, 1], through())],
    ['tcp-truncated', frame6(6, numbers(4), through())],
    ['icmpv6-truncated', frame6(58, [128, 0, 0], through())],
    ['icmpv6-truncated', icmp6Frame([128, 0, 0, 0, 1, 1], through())],
    ['icmpv6-bad-checksum', frame6(58, [128, 0, 1, 1, 0, 0, 0, 0], through())],
    ['icmp-not-for-us', icmp6Frame([129, 0, 0, 0, 0, 1, 0, 1], through())],
  ];
  for (const [i, [reason, frame]] of drops.entries()) {
    it(`counts ${reason} (${i})`, () => {
      const s = script6().frames(frame);
      assert.deepEqual(s.drops(), { [reason]: 1 });
      assert.deepEqual(s.datagrams, []);
    });
  }

  it('there is none where the gateway has no IPv6', () => {
    const s = script6({ config: { ipv6: undefined } }).frames(datagram({ src: 'fe80::2' }));
    assert.deepEqual(s.writer.take(), []);
    assert.deepEqual(s.datagrams, []);
  });

  it('what stands behind the packet in its frame is padding', () => {
    const s = script6().frames(Uint8Array.from([...datagram(), 1, 2, 3, 4]));
    assert.equal(s.datagrams[0]?.data.length, 8);
  });

  describe('extension headers', () => {
    const accepted: readonly (readonly [string, readonly Extension[]])[] = [
      ['none', []],
      ['hop-by-hop options', [hop]],
      ['destination options', [pad]],
      ['a routing header with nothing left', [routing(0, 0)]],
      ['a routing header of an unknown type with nothing left', [routing(99, 0)]],
      ['an atomic fragment', [atomic]],
      ['all in the order of RFC 8200 §4.1', [hop, pad, routing(2, 0), atomic, pad]],
      ['destination options before hop-by-hop is first', [pad, routing(2, 0), pad]],
      ['routing behind the fragment header', [atomic, routing(2, 0), pad]],
      ['nine', [hop, ...new Array<Extension>(8).fill(pad)]],
      ['an unknown option to be skipped', [option(0x1e)]],
      ['an unknown hop-by-hop option to be skipped', [option(0x1e, HOP_BY_HOP)]],
      ['a router alert', [[HOP_BY_HOP, [0, 5, 2, 0, 0, 1, 0]]]],
    ];
    for (const [name, extensions] of accepted) {
      it(`are skipped: ${name}`, () => {
        const s = script6().frames(behind(...extensions));
        assert.deepEqual(s.drops(), {});
        assert.deepEqual(s.datagrams[0]?.data, Uint8Array.from(numbers(8)));
        assert.deepEqual(s.writer.take(), []);
      });
    }

    const problem = (code: number, pointer: number): number[][] => [[4, code, pointer]];
    const refused: readonly (readonly [string, Uint8Array, string, number[][]])[] = [
      ['hop-by-hop second', behind(pad, hop), 'ipv6-bad-header-order', problem(1, 40)],
      ['hop-by-hop twice', behind(hop, hop), 'ipv6-bad-header-order', problem(1, 40)],
      [
        'hop-by-hop behind a fragment header',
        behind(atomic, hop),
        'ipv6-bad-header-order',
        problem(1, 40),
      ],
      [
        'routing type 0 with segments left',
        behind(routing(0, 1)),
        'ipv6-routing-header',
        problem(0, 42),
      ],
      [
        'unknown routing with segments left',
        behind(pad, routing(99, 2)),
        'ipv6-routing-header',
        problem(0, 50),
      ],
      ['ten headers', behind(...new Array<Extension>(10).fill(pad)), 'ipv6-too-many-headers', []],
      ['option 01: discard in silence', behind(option(0x40)), 'ipv6-unknown-option', []],
      ['option 10: report', behind(option(0x80)), 'ipv6-unknown-option', problem(2, 44)],
      ['option 11: report', behind(hop, option(0xc0)), 'ipv6-unknown-option', problem(2, 52)],
      [
        'a jumbo payload',
        behind([HOP_BY_HOP, [0, 0xc2, 4, 0, 1, 0, 0]]),
        'ipv6-unknown-option',
        problem(2, 42),
      ],
      [
        'an option beyond its header',
        behind([DESTINATION, [0, 1, 5, 0, 0, 0, 0]]),
        'ipv6-unknown-option',
        problem(0, 42),
      ],
      [
        'an option cut before its length',
        behind([DESTINATION, [0, 1, 3, 0, 0, 0, 9]]),
        'ipv6-unknown-option',
        problem(0, 47),
      ],
      [
        'authentication',
        behind([AUTHENTICATION, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]),
        'ipv6-unknown-protocol',
        problem(1, 6),
      ],
      [
        'an unknown protocol behind options',
        frame6(132, numbers(20), through(SERVER6, { extensions: [pad] })),
        'ipv6-unknown-protocol',
        problem(1, 40),
      ],
      [
        'a header that is not there',
        frame6(DESTINATION, [17, 0, 0, 0], through()),
        'ipv6-incomplete-headers',
        problem(0, 40),
      ],
      [
        'a header longer than the packet',
        frame6(DESTINATION, [17, 1, ...PADDING.slice(1)], through()),
        'ipv6-incomplete-headers',
        problem(0, 40),
      ],
    ];
    for (const [name, frame, reason, errors] of refused) {
      it(`are refused: ${name}`, () => {
        const s = script6().frames(frame);
        assert.deepEqual(s.drops(), { [reason]: 1 });
        assert.deepEqual(s.datagrams, []);
        assert.deepEqual(icmp6Out(s), errors);
      });
    }

    const toGroup = (type: number): Uint8Array =>
      datagram({ dst: 'ff02::1', extensions: [option(type)] });
    for (const [name, type, errors] of [
      ['00: taken', 0x1e, []],
      ['01: silence', 0x40, []],
      ['10: reported even so', 0x80, problem(2, 44)],
      ['11: not reported', 0xc0, []],
    ] as const) {
      it(`an unknown option to a group, ${name}`, () => {
        assert.deepEqual(icmp6Out(script6().frames(toGroup(type))), errors);
      });
    }
  });

  describe('hop limit and scope', () => {
    it('ends at the gateway for what goes beyond', () => {
      const s = script6().frames(datagram({ hopLimit: 1 }));
      const [error] = s.writer.take().map(packet6);
      assert.deepEqual([error?.upper[0], error?.upper[1]], [3, 0]);
      assert.deepEqual([error?.src, error?.dst, error?.hopLimit], [GATEWAY6, GUEST6, 64]);
      assert.deepEqual(s.drops(), { 'ipv6-hop-limit-exceeded': 1 });
    });
    for (const [name, dst] of [
      ['the gateway', GATEWAY6],
      ['the router', ROUTER6],
      ['the host', HOST6],
    ] as const) {
      it(`does not matter to ${name}`, () => {
        assert.equal(script6().frames(datagram({ dst, hopLimit: 1 })).datagrams.length, 1);
      });
    }
    it('what is of the link goes no further, and hears so', () => {
      for (const ends of [{ src: 'fe80::2' }, { dst: 'fe80::77' }]) {
        assert.deepEqual(icmp6Out(script6().frames(datagram(ends))), [[1, 2, 0]]);
      }
    });
    it('a link-local guest reaches the gateway at each of its addresses', () => {
      const s = script6();
      for (const dst of [GATEWAY6, ROUTER6, HOST6]) s.frames(datagram({ src: 'fe80::2', dst }));
      assert.equal(s.datagrams.length, 3);
    });
    it('a packet to one address in a frame to a group is not for us to forward', () => {
      const s = script6().frames(datagram({ dstMac: 0x3333_0000_0001 }));
      assert.deepEqual(s.datagrams, []);
      assert.deepEqual(s.writer.take(), []);
    });
  });

  describe('what is too big', () => {
    const big = (fields: Ip6Fields = {}): Uint8Array => {
      const ends = through(fields.dst, fields);
      return frame6(UDP, udp6(1111, 53, numbers(1400), ends), ends);
    };
    it('is answered with the MTU, and a quote within the minimum MTU', () => {
      const s = script6({ mtu: 1400 }).frames(big());
      assert.deepEqual(s.drops(), { 'ipv6-too-big': 1 });
      const [error] = messages(s);
      assert.ok(error);
      assert.deepEqual([error[0], viewOf(error).getUint32(4)], [2, 1400]);
      assert.equal(error.length, 1240);
      assert.deepEqual(error.subarray(8), big().subarray(14, 14 + 1232));
    });
    it('whatever came before it', () => {
      const s = script6({ mtu: 1400 });
      s.frames(icmp6Frame([128, 0, 0, 0, 0, 1, 0, 1], through(GATEWAY6)));
      icmp6Out(s);
      assert.deepEqual(icmp6Out(s.frames(big())), [[2, 0, 1400]]);
    });
    it('is in silence about an error', () => {
      const s = script6({ mtu: 1400 });
      s.frames(icmp6Frame([1, 0, 0, 0, 0, 0, 0, 0, ...numbers(1400)], through()));
      assert.deepEqual(icmp6Out(s), []);
    });
  });
});
