import assert from 'node:assert/strict';
import { passThroughOf } from '../../../src/services/dns/resolved-stub.ts';

describe('the pass-through of systemd-resolved', () => {
  const stub = { address: '127.0.0.53', port: 53 };

  it('is beside its stub', () => {
    const other = { address: '192.0.2.1', port: 53 };
    assert.deepEqual(passThroughOf([other, stub]), { address: '127.0.0.54', port: 53 });
  });

  it('is not beside anything else', () => {
    for (const change of [{ port: 5353 }, { address: '127.0.0.54' }, { tlsName: 'dns.example' }]) {
      assert.equal(passThroughOf([{ ...stub, ...change }]), undefined);
    }
  });
});
