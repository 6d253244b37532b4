import assert from 'node:assert/strict';
import { HostAddresses, KNOWN_MAX, TTL_MS } from '../../../src/proxy/flows/host-addresses.ts';

describe('proxy/flows/host-addresses', () => {
  it('asks once in a while for each address, and remembers so many', () => {
    let now = 0;
    const own = new Set(['10.0.0.5']);
    const asked: string[] = [];
    const isOfHost = (address: string): boolean => {
      asked.push(address);
      return own.has(address);
    };
    const addresses = new HostAddresses(isOfHost, { now: () => now });
    for (let i = 0; i < 3; i++) {
      assert.equal(addresses.has('10.0.0.5'), true);
      assert.equal(addresses.has('10.0.0.6'), false);
    }
    assert.deepEqual(asked, ['10.0.0.5', '10.0.0.6']);
    own.add('10.0.0.6');
    now = TTL_MS;
    assert.equal(addresses.has('10.0.0.6'), true);
    for (let i = 0; i < KNOWN_MAX; i++) addresses.has(`address ${i}`);
    assert.equal(addresses.has('10.0.0.6'), true);
    assert.equal(asked.at(-1), '10.0.0.6', 'it was forgotten with the rest');
  });
});
