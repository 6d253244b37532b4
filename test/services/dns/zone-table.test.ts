import assert from 'node:assert/strict';
import { ipv4 } from '../../../src/base/ip-address.ts';
import {
  type RecordZone,
  ZONE_LIMITS,
  type ZoneRecord,
  ZoneTable,
} from '../../../src/services/dns/zone-table.ts';

const at = (last: number) => ipv4(0xc0a8_7f00 | last);

const record = (name: string, last: number): ZoneRecord => ({
  name,
  address: at(last),
  pattern: undefined,
});

const pattern = (text: string, last: number): ZoneRecord => ({
  name: '',
  address: at(last),
  pattern: { text, steps: 16, matches: (name) => new RegExp(text).test(name) },
});

const zone = (name: string, records: readonly ZoneRecord[], last?: number): RecordZone => ({
  name,
  records,
  defaultAddress: last === undefined ? undefined : at(last),
});

describe('services/dns/zone-table', () => {
  let table: ZoneTable;
  beforeEach(() => {
    table = new ZoneTable();
  });
  const found = (name: string): string => {
    const match = table.find(name);
    if (match === undefined) return 'not ours';
    return match.address === undefined ? 'missing' : match.address.toString();
  };

  it('a record by its name, in any case', () => {
    table.add(zone('Test.Internal.', [record('Web', 2)]));
    assert.equal(found('web.test.internal'), '192.168.127.2');
    assert.equal(found('other.test.internal'), 'missing');
    assert.equal(found('web.test'), 'not ours');
    assert.equal(found('notest.internal'), 'not ours');
  });

  it('a record of several labels', () => {
    table.add(zone('internal.', [record('host.lima', 2)]));
    assert.equal(found('host.lima.internal'), '192.168.127.2');
  });

  it('a pattern matches what stands before the zone; the first record that matches counts', () => {
    table.add(zone('apps.', [record('www', 2), pattern('^crc-.*$', 3), pattern('.*-0$', 4)]));
    assert.equal(found('crc-x-0.apps'), '192.168.127.3');
    assert.equal(found('y-0.apps'), '192.168.127.4');
    assert.equal(found('www.apps'), '192.168.127.2');
  });

  it('the address of all other names', () => {
    table.add(zone('apps.', [record('www', 2)], 9));
    assert.equal(found('any.thing.apps'), '192.168.127.9');
    assert.equal(found('www.apps'), '192.168.127.2');
  });

  it('the first zone in the list counts, also before a longer one', () => {
    table.add(zone('internal.', [], 7));
    table.add(zone('test.internal.', [record('web', 2)]));
    assert.equal(found('web.test.internal'), '192.168.127.7');
  });

  it('a zone without an address for a name hides no other zone', () => {
    table.add(zone('internal.', [record('vm', 7)]));
    table.add(zone('lima.internal.', [record('host', 2)]));
    assert.equal(found('host.lima.internal'), '192.168.127.2');
    assert.equal(found('vm.internal'), '192.168.127.7');
    assert.equal(found('other.lima.internal'), 'missing');
  });

  it('a zone without a name has all names', () => {
    table.add(zone('', [record('web.example', 2)]));
    assert.equal(found('web.example'), '192.168.127.2');
    assert.equal(found('x.example'), 'missing');
  });

  it('records of a zone that is there go before its own; its default is replaced, also by none', () => {
    table.add(zone('a.', [record('x', 2)], 9));
    table.add(zone('b.', []));
    table.add(zone('a.', [record('x', 3), record('y', 4)]));
    assert.deepEqual(
      table.zones.map(({ name, records }) => [name, records.map((one) => one.name)]),
      [
        ['a.', ['x', 'y', 'x']],
        ['b.', []],
      ],
    );
    assert.equal(found('x.a'), '192.168.127.3');
    assert.equal(found('z.a'), 'missing');
  });

  it('is bounded: zones, records, and texts', () => {
    for (let i = 0; i < ZONE_LIMITS.zones; i++)
      assert.equal(table.add(zone(`z${i}.`, [])), undefined);
    assert.equal(table.add(zone('more.', [])), 'zones');
    const many = Array.from({ length: ZONE_LIMITS.records }, () => record('x', 2));
    assert.equal(table.add(zone('z1.', many)), undefined);
    assert.equal(table.add(zone('z1.', [record('x', 2)])), 'records');
    assert.equal(table.add(zone('z1.', [])), undefined);
    const long = 'x'.repeat(ZONE_LIMITS.textChars + 1);
    assert.equal(table.add(zone(long, [])), 'text');
    assert.equal(table.zones.length, ZONE_LIMITS.zones);
  });

  it('is bounded: what patterns are made of', () => {
    const one = pattern('^a', 2);
    const many = Array.from({ length: ZONE_LIMITS.patternSteps / 16 - 1 }, () => one);
    assert.equal(table.add(zone('a.', many)), undefined);
    assert.equal(table.add(zone('b.', [one, one])), 'patterns');
    assert.equal(table.add(zone('b.', [one])), undefined);
    assert.equal(table.freePatternSteps, 0);
    assert.equal(table.add(zone('c.', [one])), 'patterns');
    assert.equal(table.add(zone('c.', [record('x', 2)])), undefined);
  });
});
