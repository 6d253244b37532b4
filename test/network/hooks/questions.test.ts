import assert from 'node:assert/strict';
import { SILENT } from '../../../src/base/log.ts';
import { Owner } from '../../../src/base/shares/owner.ts';
import { Questions } from '../../../src/network/hooks/questions.ts';

describe('network/hooks/questions', () => {
  const LIMIT = 8;
  let answers: string[] = [];
  let questions: Questions;
  beforeEach(() => {
    answers = [];
    questions = new Questions(SILENT, 60_000, LIMIT);
  });
  afterEach(() => questions.close());

  const ask = (owner: Owner, name: string): void =>
    questions.ask<string>({
      hook: 'onFlow',
      owner,
      call: () => new Promise(() => {}),
      read: String,
      denied: (why) => `${name}: ${why}`,
      onAnswer: (answer) => answers.push(answer),
    });

  it('at the limit the one that has the most waiting is denied its oldest: others have their share', () => {
    const flood = new Owner('flood');
    const good = new Owner('good');
    for (let n = 0; n < LIMIT; n++) ask(flood, `flood ${n}`);
    assert.equal(answers.length, 0);
    ask(good, 'good 0');
    assert.deepEqual(answers, ['flood 0: onFlow: too many questions wait']);
    for (let n = 0; n < 100; n++) ask(flood, `more ${n}`);
    assert.equal(questions.budget.held, LIMIT);
    assert.ok(!answers.some((answer) => answer.startsWith('good')));
    assert.equal(questions.counts.get('onFlow-evicted'), 101);
  });

  const trap = (): never => {
    throw new Error('trapped');
  };
  for (const [name, made] of [
    ['whose then cannot be read', () => Object.defineProperty({}, 'then', { get: trap })],
    ['that cannot be read', () => new Proxy({}, { get: trap, has: () => false })],
    [
      'of a promise, that cannot be read',
      async () => Object.defineProperty({}, 'x', { get: trap }),
    ],
  ] as const) {
    it(`an answer ${name} is a denial`, async () => {
      questions.ask<string>({
        ...{ hook: 'onFlow', owner: undefined, call: made },
        read: (answer) => String(typeof answer === 'object' && answer && Reflect.get(answer, 'x')),
        denied: (why) => why,
        onAnswer: (answer) => answers.push(answer),
      });
      await new Promise((done) => setImmediate(done));
      assert.deepEqual(answers, ['onFlow has failed']);
      assert.equal(questions.counts.get('onFlow-failed'), 1);
    });
  }

  it('after the close nothing is answered', async () => {
    let resolve = (_text: string): void => {};
    questions.ask<string>({
      ...{ hook: 'onDns', owner: undefined, read: String, denied: String },
      call: () =>
        new Promise<string>((done) => {
          resolve = done;
        }),
      onAnswer: (answer) => answers.push(answer),
    });
    questions.close();
    resolve('late');
    await new Promise((done) => setImmediate(done));
    assert.deepEqual(answers, []);
  });
});
