import assert from 'node:assert/strict';
import {
  isNdp,
  NEIGHBOR_ADVERTISEMENT,
  NEIGHBOR_SOLICITATION,
  ndpLinkLayerAddress,
  ndpOptions,
  nextNdpOption,
  ROUTER_SOLICITATION,
} from '../../src/wire/ndp.ts';

const viewOf = (...bytes: readonly number[]): DataView =>
  new DataView(Uint8Array.from(bytes).buffer);

describe('wire/ndp', () => {
  it('knows its types', () => {
    assert.deepEqual([132, 133, 137, 138].map(isNdp), [false, true, true, false]);
  });

  it('finds the options behind the fixed part', () => {
    for (const type of [NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT]) {
      assert.equal(ndpOptions(type, 100, 24), 124);
      assert.equal(ndpOptions(type, 100, 23), -1);
    }
    assert.equal(ndpOptions(ROUTER_SOLICITATION, 100, 8), 108);
    assert.equal(ndpOptions(ROUTER_SOLICITATION, 100, 7), -1);
  });

  it('goes from option to option, as far as they are whole', () => {
    const view = viewOf(1, 1, 2, 0, 0, 0, 0, 1, 2, 0);
    assert.equal(nextNdpOption(view, 0, 10), 8);
    assert.equal(nextNdpOption(view, 0, 7), -1);
    assert.equal(nextNdpOption(view, 8, 10), -1, 'a length of nothing');
    assert.equal(nextNdpOption(view, 9, 10), -1);
  });

  it('reads Ethernet addresses of source and target alone', () => {
    for (const [kind, mac] of [
      [1, 0x0200_0000_0001],
      [2, 0x0200_0000_0001],
      [3, -1],
    ] as const) {
      assert.equal(ndpLinkLayerAddress(viewOf(kind, 1, 2, 0, 0, 0, 0, 1), 0), mac);
    }
  });
});
