import assert from 'node:assert/strict';
import { SILENT } from '../../src/base/log.ts';
import { Budget } from '../../src/base/shares/budget.ts';
import { Owner } from '../../src/base/shares/owner.ts';
import { LimitWatch, RECENT_MS } from '../../src/network/limit-watch.ts';

describe('network/limit-watch', () => {
  it('a budget that ran short is logged once, and a problem for a minute', () => {
    const budget = new Budget('sockets', 32);
    const share = new Owner('guest').share(budget, {});
    const lines: object[] = [];
    const warn = (fields: object): void => {
      lines.push(fields);
    };
    const watch = new LimitWatch([budget], { ...SILENT, warn });
    share.take(32);
    watch.check(0);
    assert.equal(watch.problem(0), undefined);
    share.take();
    watch.check(5);
    watch.check(6);
    assert.match(watch.problem(5 + RECENT_MS) ?? '', /may be \(32 sockets\).*ulimit -n/);
    assert.equal(watch.problem(6 + RECENT_MS), undefined);
    share.take();
    watch.check(7);
    assert.deepEqual(lines, [{ limits: { sockets: 32 } }], 'once');
    share.take();
    watch.check(8 + RECENT_MS);
    assert.equal(lines.length, 2, 'and again');
  });
});
