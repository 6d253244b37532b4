import assert from 'node:assert/strict';
import fc from 'fast-check';
import { forEachJoinedGroup } from '../../src/wire/group-records.ts';
import { emitMldQuery, isMld, MLD_QUERY_LEN } from '../../src/wire/mld.ts';
import { address6 } from '../support/frames6.ts';

const viewOf = (bytes: readonly number[]): DataView => new DataView(Uint8Array.from(bytes).buffer);
/** A record of a report: its type, sources and bytes of auxiliary data by four. */
const record = (type: number, group: string, sources = 0, auxiliary = 0): number[] => [
  ...[type, auxiliary, 0, sources],
  ...address6(group),
  ...new Array<number>(16 * sources + 4 * auxiliary).fill(0),
];
const report = (...records: readonly number[][]): number[] => [
  ...[143, 0, 0, 0, 0, 0, 0, records.length],
  ...records.flat(),
];

function joined(
  bytes: readonly number[],
  len: number = bytes.length,
): readonly [boolean, number[]] {
  const groups: number[] = [];
  const isWhole = forEachJoinedGroup(viewOf(bytes), 0, len, 16, (low) => groups.push(low));
  return [isWhole, groups];
}

describe('wire/mld', () => {
  it('knows its types', () =>
    assert.deepEqual([129, 130, 132, 133, 142, 143, 144].map(isMld), [
      false,
      true,
      true,
      false,
      false,
      true,
      false,
    ]));

  for (const [name, type, sources, groups] of [
    ['a mode that excludes none: joined', 2, 0, [5]],
    ['a change to it: joined', 4, 0, [5]],
    ['a mode that includes some: joined', 1, 2, [5]],
    ['a change to it: joined', 3, 1, [5]],
    ['new sources: joined', 5, 1, [5]],
    ['a mode that includes none: left', 1, 0, []],
    ['a change to it: left', 3, 0, []],
    ['old sources blocked: nothing new', 6, 1, []],
    ['a type to come: nothing', 9, 0, []],
  ] as const) {
    it(`${name} (record type ${type})`, () => {
      assert.deepEqual(joined(report(record(type, 'ff02::5', sources))), [true, groups]);
    });
  }

  it('goes from record to record, over sources and auxiliary data', () => {
    const bytes = report(record(4, 'ff02::5', 2, 3), record(3, 'ff02::6'), record(2, 'ff02::7'));
    assert.deepEqual(joined(bytes), [true, [5, 7]]);
  });

  it('says when it is not whole, after what was before', () => {
    const bytes = report(record(4, 'ff02::5'), record(2, 'ff02::7', 1));
    assert.deepEqual(joined(bytes, 7), [false, []]);
    assert.deepEqual(joined(bytes, 47), [false, [5]]);
    assert.deepEqual(joined(bytes, bytes.length - 1), [false, [5, 7]]);
  });

  it('reads nothing beyond the message, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        joined([...bytes]);
      }),
    );
  });

  it('writes a general question', () => {
    const view = new DataView(new ArrayBuffer(MLD_QUERY_LEN + 2));
    for (let i = 0; i < view.byteLength; i++) view.setUint8(i, 0xee);
    emitMldQuery(view, 1, 1000, 125);
    const bytes = [...new Uint8Array(view.buffer)];
    const question = [130, 0, 0, 0, 3, 0xe8, 0, 0, ...new Array<number>(16).fill(0), 2, 125, 0, 0];
    assert.deepEqual(bytes, [0xee, ...question, 0xee]);
  });
});
