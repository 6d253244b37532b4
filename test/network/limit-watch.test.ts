import assert from 'node:assert/strict';
import { SILENT } from '../../src/base/log.ts';
import { Budget } from '../../src/base/shares/budget.ts';
import { Owner } from '../../src/base/shares/owner.ts';
import type { LimitEvent } from '../../src/control/events/network-events.ts';
import { LimitWatch, RECENT_MS } from '../../src/network/limit-watch.ts';
import { until } from '../proxy/recording.ts';

describe('network/limit-watch', () => {
  it('of each budget that ran short there is an event, with what has been refused since the last', async () => {
    const spent = new Budget('places', 2);
    const share = new Owner('guest').share(spent, {});
    const events: LimitEvent[] = [];
    const watch = new LimitWatch([], SILENT, 1);
    watch.watch([spent, new Budget('other', 1)], (event) => events.push(event));
    for (let n = 0; n < 5; n++) share.take();
    watch.check(0);
    await until(() => events.length === 1);
    share.take();
    watch.check(0);
    await until(() => events.length === 2);
    watch.close();
    const limit = { name: 'places', whole: 2, held: 2, evicted: 0 };
    assert.deepEqual(events, [
      { kind: 'hit', limit: { ...limit, refused: 3 } },
      { kind: 'hit', limit: { ...limit, refused: 1 } },
    ]);
  });

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
