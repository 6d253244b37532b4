import assert from 'node:assert/strict';
import { parseLease } from '../../../src/lab/guest/kernel-guest.ts';

describe('lease line', () => {
  it('is understood', () => {
    const line = 'HAWSER-LEASE address=10.0.2.15 prefix=24 router=10.0.2.2 dns=10.0.2.3 mtu=';
    assert.deepEqual(parseLease(line, 'udhcpc'), {
      address: '10.0.2.15',
      prefixLen: 24,
      router: '10.0.2.2',
      dns: '10.0.2.3',
      mtu: 0,
      client: 'udhcpc',
    });
  });

  it('other lines are none', () =>
    assert.equal(parseLease('udhcpc: started', 'udhcpc'), undefined));
});
