import assert from 'node:assert/strict';
import { Counters } from '../../src/base/counters.ts';
import { SILENT } from '../../src/base/log.ts';
import { LimitWatch, RECENT_MS } from '../../src/network/limit-watch.ts';
import type { StackDrop } from '../../src/stack/drops.ts';

describe('network/limit-watch', () => {
  for (const drop of ['tcp-connection-table-full', 'tcp-connection-evicted'] as const) {
    it(`${drop} is logged once, and a problem for a minute`, () => {
      const drops = new Counters<StackDrop>();
      const lines: object[] = [];
      const warn = (fields: object): void => {
        lines.push(fields);
      };
      const watch = new LimitWatch(drops, 32, { ...SILENT, warn });
      drops.add('tcp-no-connection');
      watch.check(0);
      assert.equal(watch.problem(0), undefined);
      drops.add(drop, 3);
      watch.check(5);
      watch.check(6);
      assert.match(watch.problem(5 + RECENT_MS) ?? '', /there may be 32 of them.*ulimit -n/);
      assert.equal(watch.problem(6 + RECENT_MS), undefined);
      drops.add(drop);
      watch.check(7);
      assert.deepEqual(lines, [{ connections: 32 }], 'once');
      drops.add(drop);
      watch.check(8 + RECENT_MS);
      assert.equal(lines.length, 2, 'and again');
    });
  }
});
