/** Addresses, sequence numbers, randomness, counters: the small values of the base. */
import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { assert as invariant } from '../../src/base/assert.ts';
import { Counters } from '../../src/base/counters.ts';
import { addressFromWords, formatIpv4, IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import { SILENT } from '../../src/base/log.ts';
import { nextUnit, seededRandom } from '../../src/base/random.ts';
import { seq, seqAdd, seqDiff, seqLe, seqLt, seqMax } from '../../src/base/seq.ts';

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

describe('base/ip-address', () => {
  const rows: readonly (readonly [IpAddress, string])[] = [
    [ipv4(0xc0a8_7f01), '192.168.127.1'],
    [ipv4(0), '0.0.0.0'],
    [ipv4(-1), '255.255.255.255'],
    [new IpAddress(0, 0, 0, 0), '::'],
    [new IpAddress(0, 0, 0, 1), '::1'],
    [new IpAddress(0xfe80_0000, 0, 0, 1), 'fe80::1'],
    [new IpAddress(0x2001_0db8, 0, 0, 0), '2001:db8::'],
    [new IpAddress(0x2001_0db8, 0x0000_0001, 0x0001_0001, 0x0001_0001), '2001:db8:0:1:1:1:1:1'],
    [new IpAddress(0x2001_0db8, 0, 0x0001_0000, 1), '2001:db8::1:0:0:1'],
    [new IpAddress(0x2001_0000, 0x0000_0001, 0, 1), '2001:0:0:1::1'],
  ];
  for (const [address, text] of rows)
    it(`prints ${text} (RFC 5952)`, () => assert.equal(`${address}`, text));

  it('prints any IPv6 address so that it is one', () => {
    fc.assert(
      fc.property(word, word, word, word, (a, b, c, d) => {
        const address = new IpAddress(a, b, c, d);
        if (address.family === 6) assert.ok(isIPv6(address.toString()), address.toString());
        assert.ok(address.equals(addressFromWords(new Int32Array([9, a, b, c, d]), 1)));
        assert.ok(!address.equals(new IpAddress(a, b, c, d ^ 1)));
        assert.ok(!address.equals(new IpAddress(a ^ 1, b, c, d)));
        assert.ok(!address.equals(new IpAddress(a, b ^ 1, c, d)));
        assert.ok(!address.equals(new IpAddress(a, b, c ^ 1, d)));
      }),
    );
  });

  it('words that are not there are zero', () => {
    assert.equal(`${addressFromWords(new Int32Array(0), 0)}`, '::');
    assert.equal(formatIpv4(0x0102_0304), '1.2.3.4');
  });
});

describe('base/seq', () => {
  it('compares across the wrap as distances do', () => {
    fc.assert(
      fc.property(word, fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }), (start, n) => {
        const a = seq(start);
        const b = seqAdd(a, n);
        assert.equal(seqDiff(b, a), n);
        assert.equal(seqLt(a, b), n > 0);
        assert.equal(seqLe(a, b), n >= 0);
        assert.equal(seqMax(a, b), n > 0 ? b : a);
        assert.equal(b, b | 0);
      }),
    );
  });
});

describe('base/random', () => {
  it('is the same for the same seed, and another for another', () => {
    const take = (seed: number): number[] => {
      const random = seededRandom(seed);
      return Array.from({ length: 20 }, () => random.next32());
    };
    assert.deepEqual(take(5), take(5));
    assert.notDeepEqual(take(5), take(6));
    assert.notDeepEqual(take(0), take(1));
  });

  it('spreads over [0, 1)', () => {
    const random = seededRandom(3);
    const buckets = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) {
      const at = Math.floor(nextUnit(random) * 10);
      buckets[at] = (buckets[at] ?? 0) + 1;
    }
    assert.ok(
      buckets.every((n) => n > 850 && n < 1150),
      `${buckets}`,
    );
  });
});

describe('base/counters', () => {
  it('counts by name and prints them sorted', () => {
    const counters = new Counters<'b' | 'a'>();
    counters.add('b', 2);
    counters.add('a');
    counters.add('b');
    assert.equal(counters.get('b'), 3);
    assert.equal(counters.get('a'), 1);
    assert.deepEqual(Object.keys(counters.snapshot()), ['a', 'b']);
    assert.equal(new Counters<'a'>().get('a'), 0);
  });
});

describe('base/assert and log', () => {
  it('names our own mistakes', () => {
    assert.throws(() => invariant(false, 'x'), /hawser bug: x/);
    invariant(true, 'x');
  });
  it('the silent log takes everything', () => {
    for (const level of ['debug', 'info', 'warn', 'error'] as const) SILENT[level]({}, '');
  });
});
