import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IpAddress, ipv4 } from '../../../src/base/ip-address.ts';
import { isInside, type Prefix } from '../../../src/services/address-text.ts';
import { PrefixTrie } from '../../../src/services/policy/prefix-trie.ts';

/** Few of them, so that networks part at any bit and hold each other. */
const anyWord = fc.constantFrom(0, -1, 1, 1 << 31, 0x0a00_0000, 0x0a00_0001, 0x2001_0db8, 0xffff);
const anyAddress = fc.oneof(
  anyWord.map(ipv4),
  fc.tuple(anyWord, anyWord, anyWord, anyWord).map((words) => new IpAddress(...words)),
);
const anyPrefix = fc
  .tuple(anyAddress, fc.nat(128))
  .map(([address, bits]): Prefix => ({ address, bits: address.family === 4 ? bits >> 2 : bits }));

const wordsOf = ({ a, b, c, d }: IpAddress): Int32Array => Int32Array.of(9, a, b, c, d);

describe('services/policy/prefix-trie', () => {
  it('finds the networks that an address is in, each once', () => {
    fc.assert(
      fc.property(fc.array(anyPrefix), fc.array(anyAddress), (prefixes, addresses) => {
        const trie = new PrefixTrie<Prefix[]>();
        for (const prefix of prefixes) trie.at(prefix, () => []).push(prefix);
        for (const address of [...addresses, ...prefixes.map((one) => one.address)]) {
          const found: Prefix[] = [];
          trie.walk(wordsOf(address), 1, (same) => found.push(...same));
          assert.deepEqual(
            new Set(found),
            new Set(prefixes.filter((prefix) => isInside(prefix, address))),
          );
          assert.equal(found.length, new Set(found).size);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('a network is one, whatever is written behind its bits', () => {
    const trie = new PrefixTrie<object>();
    const one = trie.at({ address: ipv4(0x0a00_0000), bits: 8 }, () => ({}));
    assert.equal(
      trie.at({ address: ipv4(0x0a01_0203), bits: 8 }, () => ({})),
      one,
    );
    assert.notEqual(
      trie.at({ address: ipv4(0x0a00_0000), bits: 9 }, () => ({})),
      one,
    );
  });
});
