import assert from 'node:assert/strict';
import { createNetwork } from '../../src/network/create-network.ts';
import type { Network } from '../../src/network/network-interface.ts';
import { eui64Address, LINK_LOCAL } from '../../src/wire/eui64.ts';
import { formatMac } from '../../src/wire/mac.ts';
import { icmp6Frame, linkLayerOption, ndp } from '../support/frames6.ts';

const MAC = 0x5254_0012_3456;
const SOLICITATION = 135;
const PREFIX = 'fd12:3456:789a:1';

describe('guests, as the API shows them', () => {
  let network: Network;
  beforeEach(async () => {
    network = await createNetwork({ subnet6: `${PREFIX}::/64` });
  });
  afterEach(() => network.close());

  it('the addresses of IPv6 that a guest has asked for are there, link-local ones last', async () => {
    const linkLocal = `${eui64Address(LINK_LOCAL, MAC)}`;
    const { reader } = network.attach({ write: () => {} });
    const solicit = (target: string, src: string, options: readonly number[] = []): void => {
      const fields = { src, dst: 'ff02::1:ff00:1', srcMac: MAC, dstMac: 0x3333_ff00_0001 };
      reader.onFrame(icmp6Frame(ndp(SOLICITATION, target, options), fields));
    };
    solicit(linkLocal, '::');
    solicit(`${PREFIX}::77`, '::');
    solicit(`${PREFIX}::1`, linkLocal, linkLayerOption(1, MAC));
    for (let i = 0; i < 5 && network.view.guests().length === 0; i++)
      await new Promise(setImmediate);
    const addresses = network.view.guests().find(({ mac }) => mac === formatMac(MAC))?.addresses;
    assert.deepEqual(addresses, [`${PREFIX}::77`, linkLocal]);
  });

  it('of a guest that makes up thousands of addresses some are shown', async () => {
    const linkLocal = `${eui64Address(LINK_LOCAL, MAC)}`;
    const { reader } = network.attach({ write: () => {} });
    const fields = { dst: 'ff02::1:ff00:1', srcMac: MAC, dstMac: 0x3333_ff00_0001 };
    const ask = (target: string, src: string, options: readonly number[] = []): void => {
      reader.onFrame(icmp6Frame(ndp(SOLICITATION, target, options), { ...fields, src }));
    };
    const SOME = 20;
    for (let n = 0; n < 600; n += SOME) {
      ask(`${PREFIX}::1`, linkLocal, linkLayerOption(1, MAC));
      for (let k = n; k < n + SOME; k++) ask(`${PREFIX}::a:${k.toString(16)}`, '::');
      await new Promise(setImmediate);
    }
    const [guest] = network.view.guests();
    assert.equal(guest?.addresses.length, 256);
    assert.ok(guest.addresses.includes(linkLocal));
  });
});
