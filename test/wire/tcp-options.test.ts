import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  emitSackHead,
  emitSynOptions,
  emitTimestamps,
  TcpOptions,
} from '../../src/wire/tcp-options.ts';

const read = (bytes: readonly number[]): TcpOptions => {
  const padded = Uint8Array.from([...new Array<number>(20).fill(0), ...bytes]);
  const options = new TcpOptions();
  options.read(new DataView(padded.buffer), 0, padded.length);
  return options;
};
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

describe('wire/tcp-options', () => {
  it('reads back the options of a SYN, whichever are there', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 65_535 }),
        fc.integer({ min: -1, max: 14 }),
        fc.boolean(),
        fc.boolean(),
        word,
        word,
        (mss, ws, sack, ts, val, ecr) => {
          const view = new DataView(new ArrayBuffer(60));
          const len = emitSynOptions(view, 20, {
            mss,
            windowScale: ws,
            sackPermitted: sack,
            timestamps: ts,
            tsVal: val,
            tsEcr: ecr,
          });
          assert.equal(len % 4, 0);
          const o = new TcpOptions();
          o.read(view, 0, 20 + len);
          assert.deepEqual(
            [o.mss, o.windowScale, o.sackPermitted, o.hasTimestamps],
            [mss, ws, sack, ts],
          );
          if (ts) assert.deepEqual([o.tsVal, o.tsEcr], [val, ecr]);
        },
      ),
    );
  });

  it('reads back timestamps, alone and with SACK blocks', () => {
    fc.assert(
      fc.property(
        word,
        word,
        fc.array(fc.tuple(word, word), { maxLength: 3 }),
        (val, ecr, blocks) => {
          const view = new DataView(new ArrayBuffer(60));
          let len = emitTimestamps(view, 20, val, ecr);
          if (blocks.length > 0) len += emitSackHead(view, 20 + len, blocks.length);
          for (const [start, end] of blocks) {
            view.setInt32(20 + len, start);
            view.setInt32(24 + len, end);
            len += 8;
          }
          const o = new TcpOptions();
          o.read(view, 0, 20 + len);
          assert.deepEqual(
            [o.hasTimestamps, o.tsVal, o.tsEcr, o.sackCount],
            [true, val, ecr, blocks.length],
          );
          assert.deepEqual(
            blocks.map((_, i) => [o.sackStartAt(i), o.sackEndAt(i)]),
            blocks,
          );
          assert.equal(o.sackStartAt(9), 0);
          assert.equal(o.sackEndAt(9), 0);
        },
      ),
    );
  });

  const rows: readonly (readonly [string, number[], (o: TcpOptions) => unknown, unknown])[] = [
    ['nothing', [], (o) => o.mss, 0],
    ['an end ends the list', [0, 2, 4, 5, 0xb4, 0, 0, 0], (o) => o.mss, 0],
    ['NOPs are skipped', [1, 1, 1, 1, 2, 4, 5, 0xb4], (o) => o.mss, 1460],
    ['unknown options are skipped', [254, 4, 9, 9, 2, 4, 5, 0xb4], (o) => o.mss, 1460],
    ['a length of 0 ends the walk', [254, 0, 2, 4, 5, 0xb4, 0, 0], (o) => o.mss, 0],
    ['a length beyond the end ends the walk', [2, 4, 5, 0xb4, 254, 40, 0, 0], (o) => o.mss, 1460],
    ['a kind without a length ends the walk', [1, 1, 1, 2], (o) => o.mss, 0],
    ['an MSS of the wrong length is no MSS', [2, 3, 5, 1], (o) => o.mss, 0],
    ['a scale above 14 is 14 (RFC 7323 §2.3)', [3, 3, 200, 0], (o) => o.windowScale, 14],
    ['a scale of the wrong length is none', [3, 4, 2, 2], (o) => o.windowScale, -1],
    ['SACK-permitted', [4, 2, 0, 0], (o) => o.sackPermitted, true],
    ['SACK-permitted of the wrong length', [4, 3, 0, 0], (o) => o.sackPermitted, false],
    [
      'timestamps without NOPs',
      [8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0],
      (o) => [o.tsVal, o.tsEcr],
      [1, 2],
    ],
    ['timestamps of the wrong length', [8, 8, 0, 0, 0, 1, 0, 0], (o) => o.hasTimestamps, false],
    ['SACK of the wrong length', [5, 8, 0, 0, 0, 1, 0, 0], (o) => o.sackCount, 0],
  ];
  for (const [name, bytes, get, expected] of rows) {
    it(name, () => assert.deepEqual(get(read(bytes)), expected));
  }

  it('never throws on hostile bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 40 }), (bytes) => {
        const o = read([...bytes]);
        assert.ok(o.sackCount <= 4);
        assert.ok(o.windowScale <= 14);
      }),
      { numRuns: 2000 },
    );
  });

  it('what one segment had is not seen in the next', () => {
    const o = read([2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7, 1, 1]);
    o.read(new DataView(new ArrayBuffer(20)), 0, 20);
    assert.deepEqual(
      [o.mss, o.windowScale, o.sackPermitted, o.hasTimestamps, o.sackCount],
      [0, -1, false, false, 0],
    );
  });
});
