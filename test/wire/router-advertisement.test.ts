import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IpAddress } from '../../src/base/ip-address.ts';
import { makeSlab } from '../../src/base/slab.ts';
import { parseAddress } from '../../src/services/address-text.ts';
import { formatMac } from '../../src/wire/mac.ts';
import {
  emitRouterAdvertisement,
  type RouterAdvertisement,
} from '../../src/wire/router-advertisement.ts';
import { type ReadAdvertisement, readAdvertisement } from '../support/router-advertisement.ts';

const address = (text: string): IpAddress => parseAddress(text) ?? assert.fail(text);
const ROOM = 1_240;

const FULL: RouterAdvertisement = {
  hopLimit: 64,
  isManaged: true,
  isOtherConfiguration: true,
  routerLifetimeS: 1_800,
  source: 0x5a94_efe4_0cdd,
  mtu: 1_500,
  prefix: {
    address: address('fd12:3456:789a:1::'),
    bits: 64,
    isOnLink: true,
    isAutonomous: true,
    validS: 86_400,
    preferredS: 14_400,
  },
  dnsLifetimeS: 1_801,
  nat64LifetimeS: 1_801,
  dns: [address('fd12:3456:789a:1::1')],
  search: ['corp.example', 'example.'],
  nat64: [address('64:ff9b::')],
};

function emitted(message: RouterAdvertisement, room = ROOM, off = 0): Uint8Array {
  const slab = makeSlab(off + room + 8);
  slab.bytes.fill(0xee);
  const len = emitRouterAdvertisement(slab, off, message, room);
  assert.ok(
    slab.bytes.subarray(off + room).every((byte) => byte === 0xee),
    'stays in its room',
  );
  return slab.bytes.slice(off, off + len);
}

const read = (message: RouterAdvertisement, room = ROOM, off = 0): ReadAdvertisement =>
  readAdvertisement(emitted(message, room, off));

describe('wire/router-advertisement', () => {
  it('has every option', () =>
    assert.deepEqual(read(FULL), {
      hopLimit: 64,
      flags: 'MO',
      routerLifetimeS: 1_800,
      source: '5a:94:ef:e4:0c:dd',
      mtu: 1_500,
      prefixes: ['fd12:3456:789a:1::/64 LA 86400 14400'],
      dns: ['fd12:3456:789a:1::1 1801'],
      search: ['corp.example example 1801'],
      nat64: ['64:ff9b:: 1808'],
    }));

  it('has the bytes of RFC 4861, 8106 and 8781', () =>
    assert.equal(
      Buffer.from(emitted({ ...FULL, search: ['a.b'] })).toString('hex'),
      [
        '8600000040c007080000000000000000',
        '01015a94efe40cdd',
        '05010000000005dc',
        '030440c0000151800000384000000000fd123456789a00010000000000000000',
        '260207100064ff9b0000000000000000',
        '1903000000000709fd123456789a00010000000000000001',
        '1f020000000007090161016200000000',
      ].join(''),
    ));

  for (const [name, change, expected] of [
    ['without DHCPv6', { isManaged: false, isOtherConfiguration: false }, { flags: '' }],
    ['with DHCPv6 for what is no address', { isManaged: false }, { flags: 'O' }],
    ['no router any more', { routerLifetimeS: 0 }, { routerLifetimeS: 0 }],
    ['without servers', { dns: [] }, { dns: [] }],
    ['without search domains', { search: [] }, { search: [] }],
    ['without NAT64', { nat64: [] }, { nat64: [] }],
    ['NAT64 that ends', { nat64LifetimeS: 0 }, { nat64: ['64:ff9b:: 0'] }],
    ['a lifetime beyond 13 bits', { nat64LifetimeS: 65_529 }, { nat64: ['64:ff9b:: 65528'] }],
    [
      'with DHCPv6 alone',
      { prefix: { ...FULL.prefix, isAutonomous: false } },
      { prefixes: ['fd12:3456:789a:1::/64 L 86400 14400'] },
    ],
    [
      'a prefix that is not on the link',
      { prefix: { ...FULL.prefix, isOnLink: false } },
      { prefixes: ['fd12:3456:789a:1::/64 A 86400 14400'] },
    ],
  ] as const) {
    it(name, () => {
      const message = read({ ...FULL, ...change });
      assert.deepEqual({ ...message, ...expected }, message);
    });
  }

  it('leaves out the domains that do not fit, and those that DNS cannot hold', () => {
    const long = Array.from({ length: 40 }, (_, i) => `${'x'.repeat(60)}.n${i}.example`);
    const search = read({ ...FULL, search: [...long, 'bad..name'] }, 400).search.join(' ');
    assert.match(search, /\.n0\.example .*\.n2\.example 1801$/);
    assert.deepEqual(read({ ...FULL, search: long }, 136).search, []);
    assert.ok(emitted({ ...FULL, search: Array(400).fill('x'.repeat(60)) }, 4_000).length < 2_200);
    assert.deepEqual(read({ ...FULL, search: ['bad..name'] }).search, []);
  });

  it('reads back what it wrote, at any offset', () => {
    const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    const someAddress = fc
      .tuple(word, word, word, word)
      .map(([a, b, c, d]) => new IpAddress(a | (1 << 29), b, c | 1, d | 1));
    const lifetime = fc.integer({ min: 0, max: 0xffff_ffff });
    const message: fc.Arbitrary<RouterAdvertisement> = fc.record({
      hopLimit: fc.nat(255),
      isManaged: fc.boolean(),
      isOtherConfiguration: fc.boolean(),
      routerLifetimeS: fc.nat(65_535),
      source: fc.nat(2 ** 40),
      mtu: fc.integer({ min: 1_280, max: 65_535 }),
      prefix: fc.record({
        address: someAddress,
        bits: fc.nat(128),
        isOnLink: fc.boolean(),
        isAutonomous: fc.boolean(),
        validS: lifetime,
        preferredS: lifetime,
      }),
      dnsLifetimeS: lifetime,
      nat64LifetimeS: lifetime,
      dns: fc.array(someAddress, { maxLength: 5 }),
      search: fc.array(fc.domain(), { maxLength: 3 }),
      nat64: fc.array(someAddress, { maxLength: 2 }),
    });
    const list = (items: readonly unknown[], lifetimeS: number): string[] =>
      items.length === 0 ? [] : [`${items.join(' ')} ${lifetimeS}`];
    fc.assert(
      fc.property(message, fc.nat(9), (given, off) => {
        const { prefix, dnsLifetimeS, nat64LifetimeS } = given;
        const flags = `${prefix.isOnLink ? 'L' : ''}${prefix.isAutonomous ? 'A' : ''}`;
        assert.deepEqual(read(given, ROOM, off), {
          hopLimit: given.hopLimit,
          flags: `${given.isManaged ? 'M' : ''}${given.isOtherConfiguration ? 'O' : ''}`,
          routerLifetimeS: given.routerLifetimeS,
          source: formatMac(given.source),
          mtu: given.mtu,
          prefixes: [
            `${prefix.address}/${prefix.bits} ${flags} ${prefix.validS} ${prefix.preferredS}`,
          ],
          dns: list(given.dns, dnsLifetimeS),
          search: list(given.search, dnsLifetimeS),
          nat64: given.nat64.map(
            ({ a, b, c }) =>
              `${new IpAddress(a, b, c, 0)} ${Math.min(Math.ceil(nat64LifetimeS / 8) * 8, 65_528)}`,
          ),
        });
      }),
    );
  });
});
