/** The flow table against a Map. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  keyGuest,
  keyGuestPort,
  keyRemote,
  keyRemotePort,
  makeKey,
  setKeyAddress,
  setKeyPorts,
} from '../../src/base/flow-key.ts';
import { FlowTable } from '../../src/base/flow-table.ts';
import { ipv4 } from '../../src/base/ip-address.ts';

const keyOf = (n: number): Int32Array => {
  const key = makeKey();
  setKeyAddress(key, 0, ipv4(0x0a00_0000 + (n & 3)));
  setKeyAddress(key, 4, ipv4(0x0808_0808));
  setKeyPorts(key, 1024 + (n >> 2), 443);
  return key;
};

describe('base/flow-table', () => {
  it('agrees with a Map, whatever is done to it', () => {
    const step = fc.tuple(fc.constantFrom('set', 'set', 'delete', 'get'), fc.nat(300));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), fc.integer(), (steps, secret) => {
        const table = new FlowTable<number>(200, secret);
        const model = new Map<number, number>();
        steps.forEach(([what, n], i) => {
          const key = keyOf(n);
          if (what === 'get') assert.equal(table.get(key), model.get(n));
          else if (what === 'delete') assert.equal(table.delete(key), model.delete(n));
          else {
            const fits = model.has(n) || model.size < 200;
            assert.equal(table.set(key, i), fits);
            if (fits) model.set(n, i);
          }
          assert.equal(table.size, model.size);
        });
        for (const [n, value] of model) assert.equal(table.get(keyOf(n)), value);
        const seen: number[] = [];
        table.forEach((value) => {
          seen.push(value);
        });
        assert.deepEqual(
          seen.sort((a, b) => a - b),
          [...model.values()].sort((a, b) => a - b),
        );
      }),
      { numRuns: 200 },
    );
  });

  it('keys differ in every word', () => {
    const table = new FlowTable<number>(100, 7);
    for (let i = 0; i < 9; i++) {
      const key = makeKey();
      key[i] = 1;
      table.set(key, i);
    }
    for (let i = 0; i < 9; i++) {
      const key = makeKey();
      key[i] = 1;
      assert.equal(table.get(key), i);
    }
    assert.equal(table.get(makeKey()), undefined);
  });

  it('a key gives back its parts', () => {
    const key = makeKey();
    setKeyAddress(key, 0, ipv4(0x7f00_0001));
    setKeyAddress(key, 4, ipv4(-1));
    setKeyPorts(key, 65_535, 1);
    assert.equal(
      `${keyGuest(key)} ${keyGuestPort(key)} ${keyRemote(key)} ${keyRemotePort(key)}`,
      '127.0.0.1 65535 255.255.255.255 1',
    );
  });
});
