import assert from 'node:assert/strict';
import { checkIpv6, IPV6_HEADER_LEN, Ipv6Chain } from '../../src/wire/ipv6.ts';

const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
const TCP = 6;

/** A packet whose first header is `next`, and what follows the fixed header. */
function packet(next: number, rest: readonly number[]): DataView {
  const view = new DataView(new ArrayBuffer(IPV6_HEADER_LEN + rest.length));
  view.setUint8(0, 0x60);
  view.setUint16(4, rest.length);
  view.setUint8(6, next);
  for (const [i, byte] of rest.entries()) view.setUint8(IPV6_HEADER_LEN + i, byte);
  return view;
}

const options = (next: number, units = 0): number[] => [
  next,
  units,
  ...new Array<number>(6 + 8 * units).fill(0),
];

describe('wire/ipv6', () => {
  it('checks length and version', () => {
    const view = packet(TCP, [1, 2, 3]);
    assert.equal(checkIpv6(view, 0, view.byteLength), undefined);
    assert.equal(checkIpv6(view, 0, 39), 'ipv6-truncated');
    assert.equal(checkIpv6(view, 0, 42), 'ipv6-bad-payload-length');
    view.setUint8(0, 0x45);
    assert.equal(checkIpv6(view, 0, view.byteLength), 'ipv6-bad-version');
  });

  for (const [what, first, rest, expected] of [
    ['no extension', TCP, [1, 2], { protocol: TCP, off: 40, len: 2 }],
    ['options', DESTINATION_OPTIONS, options(TCP, 1), { protocol: TCP, off: 56, len: 0 }],
    [
      'authentication counts in words',
      AUTHENTICATION,
      [TCP, 1, ...new Array<number>(10).fill(0)],
      { protocol: TCP, off: 52, len: 0 },
    ],
    [
      'the first fragment',
      FRAGMENT,
      [TCP, 0, 0, 1, 0, 0, 0, 1, 9],
      { protocol: TCP, off: 48, len: 1 },
    ],
    [
      'a later fragment',
      FRAGMENT,
      [TCP, 0, 0, 8, 0, 0, 0, 1, 9],
      { protocol: TCP, off: 48, len: 1 },
    ],
    ['a header cut off', DESTINATION_OPTIONS, [TCP, 0, 0, 0], 'ipv6-incomplete-headers'],
    [
      'a header that is longer than the packet',
      DESTINATION_OPTIONS,
      [TCP, 1, 0, 0, 0, 0, 0, 0],
      'ipv6-incomplete-headers',
    ],
    [
      'more headers than any packet has',
      DESTINATION_OPTIONS,
      new Array<number[]>(10).fill(options(DESTINATION_OPTIONS)).flat(),
      'ipv6-too-many-headers',
    ],
  ] as const) {
    it(`walks the chain: ${what}`, () => {
      const chain = new Ipv6Chain();
      const fault = chain.walk(packet(first, rest), 0);
      if (typeof expected === 'string') {
        assert.equal(fault, expected);
        return;
      }
      assert.equal(fault, undefined);
      const { protocol, upperOff, upperLen } = chain;
      assert.deepEqual({ protocol, off: upperOff, len: upperLen }, expected);
      assert.equal(chain.isFragment, first === FRAGMENT);
      assert.equal(chain.isLaterFragment, what === 'a later fragment');
    });
  }
});
