import assert from 'node:assert/strict';
import { type Addresses, addressesOf } from '../../src/network/addresses.ts';
import { checkOptions } from '../../src/network/check-options.ts';
import type { NetworkOptions } from '../../src/network/options.ts';
import { parseAddress } from '../../src/services/address-text.ts';

const SUBNET6 = 'fd12:3456:789a:1::/64';

function ipv6Of(options: NetworkOptions, ofHost?: string): object | undefined {
  const prefix = ofHost === undefined ? undefined : parseAddress(ofHost);
  const { ipv6 }: Addresses = addressesOf(checkOptions(options), prefix);
  if (ipv6 === undefined) return undefined;
  const { prefix: own, gateway, host, isOffLink } = ipv6;
  return { prefix: `${own}`, gateway: `${gateway}`, host: host && `${host}`, isOffLink };
}

const OWN = {
  prefix: 'fd12:3456:789a:1::',
  gateway: 'fd12:3456:789a:1::1',
  host: 'fd12:3456:789a:1::254',
  isOffLink: false,
};

describe('network/addresses', () => {
  it('gateway and host have the last words of the IPv6 network', () =>
    assert.deepEqual(ipv6Of({ subnet6: SUBNET6 }), OWN));

  it('a closed loopback has an address in neither family', () => {
    assert.deepEqual(ipv6Of({ subnet6: SUBNET6, hostIp: 'none' }), { ...OWN, host: undefined });
    assert.deepEqual(ipv6Of({ subnet6: SUBNET6, hostAccess: false }), { ...OWN, host: undefined });
  });

  it('a host that shares the address of the gateway does so in both families', () => {
    const options = { gateway: '192.168.127.2', hostIp: '192.168.127.2', subnet6: SUBNET6 };
    const { gateway, host } = addressesOf(checkOptions(options));
    assert.equal(`${gateway} ${host}`, '192.168.127.2 192.168.127.2');
    assert.deepEqual(ipv6Of(options), { ...OWN, host: OWN.gateway });
    const two = 'fd12:3456:789a:1::2';
    const moved = { ...OWN, gateway: two, host: two };
    assert.deepEqual(ipv6Of({ ...options, gateway6: two }), moved);
  });

  it('DNS may have an address of its own in each family', () => {
    const dnsAddress = ['fd12:3456:789a:1::3', '192.168.127.3'];
    const { dns, ipv6 } = addressesOf(checkOptions({ subnet6: SUBNET6, dnsAddress }));
    assert.deepEqual([`${ipv6?.dns}`, `${dns}`], dnsAddress);
  });

  for (const off of [{ ipv6: 'off' }, { subnet6: 'none' }, { mtu: 1_279 }] as const) {
    it(`there is no IPv6 with ${JSON.stringify(off)}`, () =>
      assert.equal(ipv6Of({ ...off }), undefined));
  }
  it('there is IPv6 with the least MTU that it has', () =>
    assert.deepEqual(ipv6Of({ subnet6: SUBNET6, mtu: 1_280 }), OWN));

  it("the host's own network is shared, and its routers keep their address", () => {
    const shared = ipv6Of({ subnet6: 'host' }, '2001:db8:0:7:1:2:3:4');
    assert.deepEqual(shared, {
      prefix: '2001:db8:0:7::',
      gateway: '2001:db8:0:7:6861:7773:0:1',
      host: '2001:db8:0:7:6861:7773:0:254',
      isOffLink: true,
    });
  });

  it('a host without one has guests use the default', () =>
    assert.deepEqual(ipv6Of({ subnet6: 'host' }), ipv6Of({})));
});
