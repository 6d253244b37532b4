import assert from 'node:assert/strict';
import { SlicedWork, type Steps } from '../../src/proxy/sliced-work.ts';

const LONG_MS = 3;

function spend(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('proxy/sliced-work', () => {
  it('a step that takes long ends its slice: others have their turn before the next', async () => {
    const work = new SlicedWork();
    const seen: string[] = [];
    const turn = (): void => {
      seen.push('turn');
      if (seen.length < 100) setImmediate(turn);
    };
    function* steps(): Steps<void> {
      for (let n = 0; n < 4; n++) {
        seen.push('step');
        spend(LONG_MS);
        yield;
      }
    }
    setImmediate(turn);
    await work.run(steps());
    const text = seen.join();
    assert.ok(!text.includes('step,step'), text);
    assert.ok(text.startsWith('turn'), 'nor is the first in the turn of whoever asks for it');
  });

  it('one piece of work behind the other, in order, also where one fails', async () => {
    const work = new SlicedWork();
    const seen: number[] = [];
    function* steps(name: number): Steps<number> {
      for (let n = 0; n < 3; n++) {
        seen.push(name);
        spend(LONG_MS);
        yield;
      }
      if (name === 1) throw new Error('of the first');
      return name;
    }
    const first = assert.rejects(work.run(steps(1)), /of the first/);
    assert.equal(await work.run(steps(2)), 2);
    await first;
    assert.deepEqual(seen, [1, 1, 1, 2, 2, 2]);
  });
});
