/** Segments in every order that the network may give them. */
import assert from 'node:assert/strict';
import { established } from '../support/script.ts';

type Block = readonly [number, number];
const byStart = (a: Block, b: Block): number => a[0] - b[0];

const permute = (items: readonly number[]): number[][] =>
  items.length < 2
    ? [[...items]]
    : items.flatMap((x, i) => permute(items.filter((_, j) => j !== i)).map((p) => [x, ...p]));

/** The ranges of pieces of four bytes above `next`, as SACK blocks. */
function blocksOf(held: ReadonlySet<number>, next: number): Block[] {
  const blocks: [number, number][] = [];
  for (const from of [...held].toSorted((a, b) => a - b)) {
    if (from < next) continue;
    const last = blocks.at(-1);
    if (last?.[1] === 1 + from) last[1] += 4;
    else blocks.push([1 + from, 5 + from]);
  }
  return blocks;
}

describe('stack/tcp every order of segments', () => {
  const text = 'abcdefghijklmnopqrstuvwx';
  /** [from, to) of the text. */
  const sets: Record<string, readonly (readonly [number, number])[]> = {
    'six in a row': [
      [0, 4],
      [4, 8],
      [8, 12],
      [12, 16],
      [16, 20],
      [20, 24],
    ],
    'with overlap': [
      [0, 5],
      [3, 9],
      [8, 12],
      [10, 17],
      [15, 20],
      [19, 24],
    ],
    'with a duplicate': [
      [0, 6],
      [6, 12],
      [6, 12],
      [12, 18],
      [18, 24],
      [0, 6],
    ],
    'with a re-segmented tail': [
      [0, 8],
      [8, 16],
      [16, 24],
      [12, 20],
      [20, 24],
      [8, 24],
    ],
    'one within another': [
      [0, 24],
      [4, 8],
      [12, 20],
      [2, 22],
      [0, 1],
      [23, 24],
    ],
  };
  for (const [name, ranges] of Object.entries(sets)) {
    it(`${name}: the stream is exact`, () => {
      for (const order of permute(ranges.map((_, i) => i))) {
        for (const irs of [1000, -10]) {
          const s = established({ irs });
          for (const i of order) {
            const [from, to] = ranges[i] ?? [0, 0];
            s.in({ seq: 1 + from, ack: 1, data: text.slice(from, to) });
          }
          assert.equal(s.app.text, text, `order ${order}`);
          s.advance(20);
          assert.match(s.out().at(-1) ?? '', /^A 1\+0 ack 25\b/, `order ${order}`);
        }
      }
    });
  }

  it('six segments and the FIN: what is held is SACKed, and the end comes once, at the end', () => {
    const starts = [0, 4, 8, 12, 16, 20];
    for (const order of permute(starts)) {
      const s = established();
      const held = new Set<number>();
      for (const from of order) {
        held.add(from);
        const flags = from === 20 ? 'FPA' : 'PA';
        s.in({ flags, seq: 1 + from, ack: 1, data: text.slice(from, from + 4) });
        const inOrder = starts.findIndex((start) => !held.has(start));
        const [ack] = s.advance(20).records();
        if (ack === undefined) {
          assert.fail(`order ${order}: no ACK after ${from}`);
        }
        const next = inOrder < 0 ? 24 : inOrder * 4;
        assert.equal(ack.ack, next === 24 ? 26 : 1 + next, `order ${order}`);
        assert.deepEqual(ack.sack.toSorted(byStart), blocksOf(held, next), `order ${order}`);
        const [first] = ack.sack;
        if (from > next && first !== undefined) {
          assert.ok(
            first[0] <= 1 + from && 1 + from < first[1],
            `order ${order}: the latest first`,
          );
        }
      }
      assert.equal(s.app.text, text, `order ${order}`);
      assert.deepEqual(
        s.app.events.filter((event) => event !== 'readable'),
        ['guest-end'],
        `order ${order}`,
      );
    }
  });

  it('six segments that we sent, SACKed and acknowledged: nothing that arrived goes out twice', () => {
    const MSS = 1460;
    const seg = (i: number): number => 1 + i * MSS;
    for (const order of permute([0, 1, 2, 3, 4, 5])) {
      const s = established();
      s.flow.send(s.now, new Uint8Array(6 * MSS), 0, 6 * MSS);
      s.flow.shutdown(s.now);
      s.stack.flush();
      const sent = s.records();
      assert.deepEqual(sent.map((r) => r.flags).join(' '), 'A A A A A PA FA');
      const held = new Set<number>();
      for (const i of order) {
        held.add(i);
        let next = 0;
        while (held.has(next)) next++;
        const sack = [...held]
          .filter((j) => j > next)
          .toSorted((x, y) => x - y)
          .map((j) => [seg(j), seg(j + 1) + (j === 5 ? 1 : 0)] as const)
          .slice(0, 4);
        s.in({ seq: 1, ack: seg(next) + (next === 6 ? 1 : 0), sack });
        for (const r of s.records()) {
          const again = (r.seq - 1) / MSS;
          assert.ok(!held.has(again), `order ${order}: segment ${again} had arrived`);
        }
      }
      assert.equal(s.flow.describe().state, 'fin-wait-2', `order ${order}`);
    }
  });
});
