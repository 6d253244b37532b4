import assert from 'node:assert/strict';
import fc from 'fast-check';
import { forEachJoinedGroup } from '../../src/wire/group-records.ts';
import { emitIgmpQuery, IGMP_QUERY_LEN, isIgmpSound } from '../../src/wire/igmp.ts';

const viewOf = (bytes: readonly number[]): DataView => new DataView(Uint8Array.from(bytes).buffer);

describe('wire/igmp', () => {
  it('writes a general question of version 3, with its sum', () => {
    const view = new DataView(new ArrayBuffer(IGMP_QUERY_LEN + 2));
    for (let i = 0; i < view.byteLength; i++) view.setUint8(i, 0xee);
    emitIgmpQuery(view, 1, 1000, 125);
    const question = [0x11, 10, 0xec, 0x78, 0, 0, 0, 0, 2, 125, 0, 0];
    assert.deepEqual([...new Uint8Array(view.buffer)], [0xee, ...question, 0xee]);
    assert.ok(isIgmpSound(view, 1, IGMP_QUERY_LEN));
  });

  it('is not sound when it is short, or its sum is wrong', () => {
    const question = viewOf([0x11, 10, 0xec, 0x78, 0, 0, 0, 0, 2, 125, 0, 0]);
    assert.equal(isIgmpSound(question, 0, 7), false);
    question.setUint8(8, 3);
    assert.equal(isIgmpSound(question, 0, 12), false);
  });

  it('a report has records of addresses of four bytes', () => {
    const record = (type: number, last: number, sources = 0): number[] => [
      ...[type, 0, 0, sources, 239, 1, 2, last],
      ...new Array<number>(4 * sources).fill(9),
    ];
    const bytes = [0x22, 0, 0, 0, 0, 0, 0, 3, ...record(4, 5, 2), ...record(3, 6), ...record(2, 7)];
    const groups: number[] = [];
    const visit = (low: number): void => void groups.push(low & 0xff);
    assert.ok(forEachJoinedGroup(viewOf(bytes), 0, bytes.length, 4, visit));
    assert.deepEqual(groups, [5, 7]);
    assert.equal(forEachJoinedGroup(viewOf(bytes), 0, bytes.length - 1, 4, visit), false);
  });

  it('reads nothing beyond the message, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        forEachJoinedGroup(viewOf([...bytes]), 0, bytes.length, 4, () => undefined);
      }),
    );
  });
});
