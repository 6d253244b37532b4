import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IpAddress } from '../../../src/base/ip-address.ts';
import { readQuery } from '../../../src/services/dns/message.ts';
import { discoveredPrefixes, discoveryQuery } from '../../../src/services/dns/nat64-discovery.ts';
import { embedIpv4, NAT64_BITS, type Nat64Prefix } from '../../../src/services/nat64-address.ts';
import { aaaa, type ReplyOptions, replyBytes, unpack } from './dns-wire.ts';

const NAME = 'ipv4only.arpa';
const discover = (answers: readonly string[], options: ReplyOptions = {}): string[] =>
  discoveredPrefixes(
    replyBytes(discoveryQuery().bytes, {
      ...options,
      answers: answers.map((one, i) => aaaa(NAME, one, 100 + i)),
    }),
  ).prefixes.map(({ address, bits }) => `${address}/${bits}`);

describe('NAT64 prefixes of a network (RFC 7050)', () => {
  it('are asked for by a query that is well-formed', () => {
    const { bytes } = discoveryQuery();
    assert.deepEqual(readQuery(bytes), discoveryQuery());
    assert.deepEqual(unpack(bytes).questions, [{ name: NAME, type: 'AAAA', class: 'IN' }]);
  });

  const ROWS: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['the well-known one', ['64:ff9b::c000:aa', '64:ff9b::c000:ab'], ['64:ff9b::/96']],
    ['one address is enough', ['64:ff9b::c000:ab'], ['64:ff9b::/96']],
    ['/64', ['2001:db8:122:344:c0:0:aa00:0'], ['2001:db8:122:344::/64']],
    ['/56', ['2001:db8:122:3c0:0:aa::'], ['2001:db8:122:300::/56']],
    ['/48', ['2001:db8:122:c000:0:aa00::'], ['2001:db8:122::/48']],
    ['/40', ['2001:db8:1c0:0:aa::'], ['2001:db8:100::/40']],
    ['/32', ['2001:db8:c000:aa::'], ['2001:db8::/32']],
    ['two', ['64:ff9b::c000:aa', '2001:db8:c000:aa::'], ['64:ff9b::/96', '2001:db8::/32']],
    [
      'an address that can be read in two ways: the other decides',
      ['2001:db8:c000:aa::c000:aa', '2001:db8:c000:aa::c000:ab'],
      ['2001:db8:c000:aa::/96'],
    ],
    ['addresses of a host', ['2001:db8::1'], []],
    ['an IPv4-mapped address', ['::ffff:192.0.0.170'], []],
    ['a compatible one', ['::192.0.0.170'], []],
    ['a link-local one', ['fe80::c000:aa'], []],
    ['none', [], []],
  ];
  for (const [what, answers, expected] of ROWS) {
    it(what, () => assert.deepEqual(discover(answers), expected));
  }

  it('hold as long as their records', () => {
    const reply = replyBytes(discoveryQuery().bytes, {
      answers: [aaaa(NAME, '64:ff9b::c000:aa', 70), aaaa(NAME, '64:ff9b::c000:ab', 50)],
    });
    assert.equal(discoveredPrefixes(reply).ttlS, 50);
    assert.equal(discoveredPrefixes(replyBytes(discoveryQuery().bytes)).ttlS, 0);
  });

  it('are found for every prefix that a network may have', () => {
    const word = fc.integer();
    fc.assert(
      fc.property(fc.constantFrom(...NAT64_BITS), word, word, word, (bits, a, b, c) => {
        const words = [a, b, c & 0x00ff_ffff].map((one, i) => {
          const n = Math.min(Math.max(bits - 32 * i, 0), 32);
          return n === 0 ? 0 : one & (-1 << (32 - n));
        });
        const [pa = 0, pb = 0, pc = 0] = words;
        fc.pre(pa !== 0 && pa >>> 22 !== 0x3fa && pa >>> 24 !== 0xff);
        const prefix: Nat64Prefix = { address: new IpAddress(pa, pb, pc, 0), bits };
        const answers = [0xc000_00aa, 0xc000_00ab].map((known) => `${embedIpv4(prefix, known)}`);
        assert.ok(discover(answers).includes(`${prefix.address}/${bits}`));
      }),
    );
  });
});
