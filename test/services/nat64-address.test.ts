import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IpAddress } from '../../src/base/ip-address.ts';
import { parseAddress } from '../../src/services/address-text.ts';
import {
  embedIpv4,
  extractIpv4,
  ipv4Scope,
  LOCAL_NAT64,
  NAT64_BITS,
  type Nat64Bits,
  type Nat64Prefix,
  WELL_KNOWN_NAT64,
} from '../../src/services/nat64-address.ts';

function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed, text);
  return parsed;
}

describe('IPv4 addresses in a NAT64 prefix', () => {
  // RFC 6052 §2.4, table 2.
  const EMBEDDED: readonly (readonly [string, Nat64Bits, string])[] = [
    ['2001:db8::', 32, '2001:db8:c000:221::'],
    ['2001:db8:100::', 40, '2001:db8:1c0:2:21::'],
    ['2001:db8:122::', 48, '2001:db8:122:c000:2:2100::'],
    ['2001:db8:122:300::', 56, '2001:db8:122:3c0:0:221::'],
    ['2001:db8:122:344::', 64, '2001:db8:122:344:c0:2:2100::'],
    ['2001:db8:122:344::', 96, '2001:db8:122:344::192.0.2.33'],
    ['64:ff9b::', 96, '64:ff9b::192.0.2.33'],
  ];
  for (const [prefix, bits, expected] of EMBEDDED) {
    it(`192.0.2.33 in ${prefix}/${bits} is ${expected}`, () => {
      const nat64: Nat64Prefix = { address: address(prefix), bits };
      const embedded = embedIpv4(nat64, address('192.0.2.33').d);
      assert.equal(embedded.toString(), address(expected).toString());
      assert.equal(extractIpv4(nat64, embedded), address('192.0.2.33').d);
    });
  }

  const anyPrefix = fc
    .tuple(fc.constantFrom(...NAT64_BITS), fc.array(fc.integer(), { minLength: 4, maxLength: 4 }))
    .map(([bits, words]): Nat64Prefix => {
      const kept = words.map((word, i) => {
        const n = Math.min(Math.max(bits - 32 * i, 0), 32);
        return n === 0 ? 0 : word & (-1 << (32 - n));
      });
      const [a = 0, b = 0, c = 0, d = 0] = kept;
      return { address: new IpAddress(a, b, c & 0x00ff_ffff, d), bits };
    });

  it('what was embedded is extracted, for every prefix', () => {
    fc.assert(
      fc.property(anyPrefix, fc.integer(), (prefix, word) => {
        const embedded = embedIpv4(prefix, word);
        assert.equal(extractIpv4(prefix, embedded), word | 0);
        assert.equal(embedded.c >>> 24, 0, 'bits 64 to 71 are zero');
      }),
    );
  });

  it('nothing is extracted from an address that differs within the prefix', () => {
    fc.assert(
      fc.property(anyPrefix, fc.integer(), fc.nat(95), (prefix, word, at) => {
        const { a, b, c, d } = embedIpv4(prefix, word);
        const bit = at % prefix.bits;
        const words = [a, b, c, d];
        words[bit >> 5] = (words[bit >> 5] ?? 0) ^ (1 << (31 - (bit & 31)));
        const [na = 0, nb = 0, nc = 0, nd = 0] = words;
        assert.equal(extractIpv4(prefix, new IpAddress(na, nb, nc, nd)), undefined);
      }),
    );
  });

  it('the prefix for local use differs from the well-known one', () => {
    const word = address('10.1.2.3').d;
    assert.equal(embedIpv4(LOCAL_NAT64, word).toString(), '64:ff9b:1::a01:203');
    assert.equal(extractIpv4(WELL_KNOWN_NAT64, embedIpv4(LOCAL_NAT64, word)), undefined);
  });

  const SCOPES = {
    public: [
      '8.8.8.8',
      '1.0.0.1',
      '100.63.0.1',
      '100.128.0.1',
      '172.32.0.1',
      '192.0.1.1',
      '223.1.1.1',
    ],
    private: [
      '10.0.0.1',
      '100.64.0.1',
      '100.127.255.255',
      '172.16.0.1',
      '172.31.255.255',
      '192.0.0.170',
      '192.0.2.1',
      '192.88.99.1',
      '192.168.0.1',
      '198.18.0.1',
      '198.19.255.255',
      '198.51.100.1',
      '203.0.113.1',
    ],
    none: [
      '0.0.0.0',
      '0.1.2.3',
      '127.0.0.53',
      '169.254.169.254',
      '224.0.0.1',
      '240.0.0.1',
      '255.255.255.255',
    ],
  } as const;
  for (const [scope, texts] of Object.entries(SCOPES)) {
    for (const text of texts) {
      it(`${text} is ${scope}`, () => assert.equal(ipv4Scope(address(text).d), scope));
    }
  }
});
