import assert from 'node:assert/strict';
import fc from 'fast-check';
import { PortSet } from '../../../src/services/policy/port-set.ts';

describe('services/policy/port-set', () => {
  it('hands out what was added since, once each and ascending', () => {
    const set = new PortSet();
    fc.assert(
      fc.property(fc.array(fc.nat(65_535)), (ports) => {
        for (const port of [...ports, 0, 65_535, 31, 32]) set.add(port);
        const expected = [...new Set([...ports, 0, 65_535, 31, 32])].sort(
          (one, other) => one - other,
        );
        assert.deepEqual([...set.take()], expected);
        assert.equal(set.take().length, 0);
      }),
    );
  });
});
