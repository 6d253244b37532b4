import assert from 'node:assert/strict';
import fc from 'fast-check';
import { plainText, plainValue } from '../../src/base/plain-text.ts';

describe('base/plain-text', () => {
  for (const [what, text, plain] of [
    ['a terminal escape', 'a\u001b[31mb', 'a\\u{1b}[31mb'],
    ['a control of C1', '\u009b2J', '\\u{9b}2J'],
    ['markup', '<b a="x">&\'`', '\\u{3c}b a=\\u{22}x\\u{22}\\u{3e}\\u{26}\\u{27}\\u{60}'],
    ['a mark that reorders text', 'a\u202eb', 'a\\u{202e}b'],
    ['half of a pair', 'a\ud800', 'a\\u{d800}'],
  ] as const) {
    it(`${what} is written out`, () => assert.equal(plainText(text), plain));
  }

  it('what is plain is the same object, also when it is deep', () => {
    const event = { kind: 'opened', flow: { name: 'www.example.com', tcp: null, list: ['é', 1] } };
    assert.equal(plainValue(event), event);
  });

  it('no text of any value is unsafe, or longer than a few hundred characters', () => {
    const check = (value: unknown): void => {
      if (typeof value === 'string') {
        assert.doesNotMatch(value, /[\p{Cc}<>&"'`\u202a-\u202e\u2028\u2029]/u);
        assert.ok(value.length < 3000);
      } else if (typeof value === 'object' && value !== null) {
        Object.entries(value).flat().forEach(check);
      }
    };
    fc.assert(fc.property(fc.object({ maxDepth: 3 }), (value) => check(plainValue(value))));
    check(plainValue({ name: '\u001b'.repeat(10_000) }));
  });
});
