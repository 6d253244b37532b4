import assert from 'node:assert/strict';
import { asciiName } from '../../src/control/ascii-name.ts';

describe('control/ascii-name', () => {
  it('A-labels of what is beyond ASCII, also below a wildcard', () => {
    assert.equal(asciiName('BÜCHER.example'), 'xn--bcher-kva.example');
    assert.equal(asciiName('*.bücher。example.'), '*.xn--bcher-kva.example.');
    assert.equal(asciiName('Plain.example'), 'Plain.example');
  });

  for (const text of [
    'ü.test/x',
    'ü.test?x',
    'ü.test#x',
    'ü.test\\x',
    'ü%2etest',
    'a\tb.test',
    'ü\n.test',
  ]) {
    it(`${JSON.stringify(text)} is no name: nothing of it is cut off, decoded or left out`, () => {
      assert.equal(asciiName(text), text);
    });
  }
});
