import assert from 'node:assert/strict';
import { DNS_FAMILIES, type DnsFamily } from '../../src/network/config.ts';
import { DnsFamilies } from '../../src/network/dns-families.ts';

describe('families of DNS answers', () => {
  /** A, AAAA and DNS64: what guests get. */
  const given = (family: DnsFamily, hasIpv6Route: boolean, hasNat64: boolean): string => {
    const families = new DnsFamilies(
      family,
      { use: 'auto', isForPrivate: false, isIpv6Mostly: false },
      [],
    );
    Object.assign(families, { hasIpv6Route, hasNat64 });
    const { hidesIpv4, hidesIpv6, dns64 } = families;
    return [!hidesIpv4 && 'A', !hidesIpv6 && 'AAAA', dns64 && 'DNS64'].filter(Boolean).join(' ');
  };

  const WITHOUT_ROUTE = { auto: 'A', 4: 'A', 6: 'AAAA', both: 'A AAAA' };
  const WITH_ROUTE = { auto: 'A AAAA', 4: 'A', 6: 'AAAA', both: 'A AAAA' };
  const NAT64_ALONE = { auto: 'A DNS64', 4: 'A', 6: 'AAAA DNS64', both: 'A AAAA DNS64' };
  for (const family of DNS_FAMILIES) {
    it(`${family} without a route: ${WITHOUT_ROUTE[family]}`, () =>
      assert.equal(given(family, false, false), WITHOUT_ROUTE[family]));
    it(`${family} with a route: ${WITH_ROUTE[family]}`, () =>
      assert.equal(given(family, true, false), WITH_ROUTE[family]));
    it(`${family} with a route to NAT64 alone: ${NAT64_ALONE[family]}`, () =>
      assert.equal(given(family, false, true), NAT64_ALONE[family]));
  }

  it('private addresses are translated by option', () => {
    const prefixes = [true, false].map((isForPrivate) => {
      const families = new DnsFamilies(
        'auto',
        { use: 'on', isForPrivate, isIpv6Mostly: false },
        [],
      );
      families.hasNat64 = true;
      return families.dns64?.prefixes.forPrivate?.address.toString();
    });
    assert.deepEqual(prefixes, ['64:ff9b:1::', undefined]);
  });
});
