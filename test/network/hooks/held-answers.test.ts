import assert from 'node:assert/strict';
import { ANSWERS_OF_GUEST, HeldAnswers } from '../../../src/network/hooks/held-answers.ts';
import { ANSWER_HOLDS_MS } from '../../../src/network/hooks/hooks.ts';
import type { GateDenial } from '../../../src/proxy/flows/flow-gate.ts';
import { testGuest } from '../../support/test-guest.ts';

const DENIED: GateDenial = { why: 'program', text: 'no' };

describe('network/hooks/held-answers', () => {
  let now = 0;
  let asked = 0;
  const guest = testGuest();
  let answers: HeldAnswers<GateDenial | undefined>;
  beforeEach(() => {
    now = 0;
    asked = 0;
    answers = new HeldAnswers({ now: () => now });
  });

  it('an answer that is there at once is asked for each time', () => {
    const ask = (): GateDenial | undefined =>
      answers.ask(guest, 'x', (decided) => {
        asked++;
        decided(asked > 1 ? DENIED : undefined);
      });
    assert.deepEqual([ask(), ask(), asked], [undefined, DENIED, 2]);
  });

  it('while there is none it is pending, and then it holds for a while', () => {
    const decide: ((denial: GateDenial | undefined) => void)[] = [];
    const ask = (owner = guest): GateDenial | undefined =>
      answers.ask(owner, 'x', (decided) => decide.push(decided));
    assert.equal(ask()?.isPending, true);
    assert.equal(ask()?.isPending, true);
    assert.equal(decide.length, 1);
    assert.equal(ask(testGuest())?.isPending, true, 'another guest has its own');
    decide[0]?.(DENIED);
    assert.deepEqual(ask(), DENIED);
    now = ANSWER_HOLDS_MS;
    assert.equal(ask()?.isPending, true);
    assert.equal(decide.length, 3);
  });

  it('of a guest there are so many: the oldest is asked for again', () => {
    const ask = (key: string): void => {
      answers.ask(guest, key, () => asked++);
    };
    for (let n = 0; n <= ANSWERS_OF_GUEST; n++) ask(`${n}`);
    asked = 0;
    ask('1');
    assert.equal(asked, 0);
    ask('0');
    assert.equal(asked, 1);
  });
});
