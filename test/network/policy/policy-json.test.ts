import assert from 'node:assert/strict';
import fc from 'fast-check';
import { JsonTextError, parseJsonInSteps } from '../../../src/network/policy/policy-json.ts';
import { atOnce } from '../../../src/proxy/sliced-work.ts';

const MAX = 10_000;
const parse = (text: string): unknown => atOnce(parseJsonInSteps(text, MAX));

const element = fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 3 }));
const list = fc.tuple(fc.array(element, { maxLength: 8 }), fc.nat(40)).map(([few, times]) =>
  // More than is parsed at a time.
  Array.from({ length: times }, () => few).flat(),
);
const document = fc.dictionary(fc.string(), fc.oneof(list, element), { maxKeys: 4 });

describe('network/policy/policy-json', () => {
  it('what JSON.parse reads, however it is spaced', () => {
    fc.assert(
      fc.property(document, fc.constantFrom(undefined, 1, '\t'), (value, space) => {
        const text = JSON.stringify(value, undefined, space);
        assert.deepEqual(parse(text), JSON.parse(text));
      }),
      { numRuns: 500 },
    );
  });

  it('what is damaged is refused where JSON.parse refuses it, and read as it reads it', () => {
    const cut = fc.tuple(document, fc.nat(), fc.nat(3), fc.constantFrom(...',]}[{"\\1 '));
    fc.assert(
      fc.property(cut, ([value, place, removed, inserted]) => {
        const whole = JSON.stringify(value);
        const at = place % (whole.length + 1);
        const text = whole.slice(0, at) + inserted + whole.slice(at + removed);
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          assert.throws(() => parse(text), JsonTextError);
          return;
        }
        assert.deepEqual(parse(text), expected);
      }),
      { numRuns: 5_000 },
    );
  });

  it('too many elements are refused before what is behind them is looked at', () => {
    const elements = (n: number): string => Array.from({ length: n }, () => '{}').join(',');
    const { rules } = parse(`{"rules":[${elements(MAX)}]}`) as { rules: unknown[] };
    assert.equal(rules.length, MAX);
    const steps = parseJsonInSteps(`{"rules":[${elements(MAX * 20)}] no JSON`, MAX);
    let taken = 0;
    assert.throws(() => {
      while (steps.next().done !== true) taken++;
    }, /at most 10000 elements/);
    assert.ok(taken < 20, `${taken} steps`);
  });

  for (const [what, text] of [
    ['an element', `{"rules":[{"name":"${'x'.repeat(70_000)}"}]}`],
    ['what is in no list', `{"default":"${'x'.repeat(70_000)}","rules":[]}`],
    ['what is nested', `{"rules":${'['.repeat(70_000)}`],
  ] as const) {
    it(`${what} beyond 64 KiB is refused`, () => {
      assert.throws(() => parse(text), /longer than 65536/);
    });
  }
});
