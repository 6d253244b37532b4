import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decodeName, encodeNames } from '../../src/wire/domain-names.ts';

const bytes = (text: string): number[] => [...Buffer.from(text, 'latin1')];

describe('wire/domain-names', () => {
  it('encodes names, leaving out what DNS cannot hold', () => {
    const names = ['ab.c.', 'bad..name', 'x'.repeat(64), `${'y.'.repeat(127)}`, 'd'];
    assert.deepEqual([...encodeNames(names).data], [2, 97, 98, 1, 99, 0, 1, 100, 0]);
  });

  it('does not compress, and says where each name ends', () => {
    const { data, cuts } = encodeNames(['a.b', 'b']);
    assert.deepEqual([...data], bytes('\x01a\x01b\0\x01b\0'));
    assert.deepEqual(cuts, [5, 8]);
  });

  for (const [what, encoded, name] of [
    ['a fully qualified name', '\x02vm\x03lan\0', 'vm.lan'],
    ['the beginning of a name (RFC 4704 §4.2)', '\x02vm', 'vm'],
    ['the root', '\0', ''],
    ['nothing', '', ''],
    ['a label that is not whole', '\x03vm', undefined],
    ['a pointer', '\x02vm\xc0\x00', undefined],
    ['more behind the end', '\x02vm\0\0', undefined],
    ['a name that is too long', '\x3f'.concat('a'.repeat(63)).repeat(4), undefined],
  ] as const) {
    it(`reads ${what}`, () => {
      assert.equal(decodeName(Uint8Array.from(bytes(encoded))), name);
    });
  }

  it('reads what it wrote', () => {
    const label = fc.stringMatching(/^[a-z0-9-]{1,20}$/);
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 8 }), (labels) => {
        const name = labels.join('.');
        assert.equal(decodeName(encodeNames([name]).data), name);
      }),
    );
  });
});
