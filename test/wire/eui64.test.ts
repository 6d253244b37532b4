import assert from 'node:assert/strict';
import { parseAddress } from '../../src/services/address-text.ts';
import { eui64Address, LINK_LOCAL } from '../../src/wire/eui64.ts';
import { macOf } from '../../src/wire/mac.ts';

describe('wire/eui64', () => {
  const prefix = parseAddress('fd12:3456:789a:1:ffff::');
  for (const [mac, address] of [
    ['52:54:00:12:34:56', 'fd12:3456:789a:1:5054:ff:fe12:3456'],
    ['00:00:00:00:00:01', 'fd12:3456:789a:1:200:ff:fe00:1'],
    ['ff:ff:ff:ff:ff:ff', 'fd12:3456:789a:1:fdff:ffff:feff:ffff'],
  ] as const) {
    it(`${mac} is ${address}`, () => {
      assert.ok(prefix !== undefined);
      assert.equal(eui64Address(prefix, macOf(mac)).toString(), address);
    });
  }

  it('the gateway of VPNKit and gvproxy, link-local', () => {
    const address = eui64Address(LINK_LOCAL, macOf('5a:94:ef:e4:0c:dd'));
    assert.equal(address.toString(), 'fe80::5894:efff:fee4:cdd');
  });
});
