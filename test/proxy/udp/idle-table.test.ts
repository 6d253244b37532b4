import assert from 'node:assert/strict';
import fc from 'fast-check';
import { NEVER } from '../../../src/base/time.ts';
import { IdleTable, type TableEntry } from '../../../src/proxy/udp/idle-table.ts';

class Entry implements TableEntry<Entry> {
  readonly key: Int32Array;
  chain: Entry | undefined = undefined;
  older: Entry | undefined = undefined;
  newer: Entry | undefined = undefined;
  usedAt = 0;
  settled = false;
  constructor(id: number) {
    this.key = Int32Array.of(id, -id);
  }
}

const LIMITS = { entries: 4, freshMs: 30, settledMs: 180 };
const make = (): IdleTable<Entry> => new IdleTable(2, LIMITS, 7);

describe('proxy/udp/idle-table', () => {
  it('finds what was added, by key, until it is removed', () => {
    const table = make();
    const entries = Array.from({ length: 100 }, (_, i) => new Entry(i));
    for (const entry of entries) table.add(0, entry); // more than buckets: chains
    for (const entry of entries) assert.equal(table.find(entry.key), entry);
    for (const entry of entries.filter((_, i) => i % 2 === 0)) table.remove(entry);
    for (const [i, entry] of entries.entries()) {
      assert.equal(table.find(entry.key), i % 2 === 0 ? undefined : entry);
    }
    assert.equal(table.size, 50);
  });

  it('removing twice changes nothing', () => {
    const table = make();
    const entry = new Entry(1);
    table.add(0, entry);
    table.remove(entry);
    table.remove(entry);
    assert.equal(table.size, 0);
    assert.equal(table.nextExpiry(), NEVER);
  });

  it('entries without a reply expire sooner than those with one', () => {
    const table = make();
    const [fresh, settled] = [new Entry(1), new Entry(2)];
    table.add(0, fresh);
    table.add(0, settled);
    table.touch(0, settled, true);
    assert.equal(table.nextExpiry(), 30);
    assert.equal(table.expired(29), undefined);
    assert.equal(table.expired(30), fresh);
    table.remove(fresh);
    assert.equal(table.nextExpiry(), 180);
    assert.equal(table.expired(179), undefined);
    assert.equal(table.expired(180), settled);
  });

  it('agrees with a naive model on who is oldest, over any sequence of uses', () => {
    const step = fc.record({ id: fc.nat(9), reply: fc.boolean(), remove: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = make();
        let model: Entry[] = [];
        for (const [now, { id, reply, remove }] of steps.entries()) {
          const entry = table.find(Int32Array.of(id, -id));
          model = model.filter((other) => other !== entry);
          if (entry === undefined) {
            const added = new Entry(id);
            table.add(now, added);
            model.push(added);
          } else if (remove) {
            table.remove(entry);
          } else {
            table.touch(now, entry, reply);
            model.push(entry);
          }
          assert.equal(table.oldest(), model[0]);
          assert.equal(table.size, model.length);
          assert.equal([...table.entries()].length, model.length);
        }
      }),
    );
  });
});
