import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatIpv4, IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import { parseAddress } from '../../src/services/address-text.ts';

describe('services/address-text', () => {
  it('reads what is printed of an address', () => {
    const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(word, word, word, word, (...words) => {
        const [first] = words;
        assert.deepEqual(parseAddress(formatIpv4(first)), ipv4(first));
        const address = new IpAddress(...words);
        assert.deepEqual(parseAddress(`${address}`), address);
      }),
    );
  });

  const none = [
    '',
    '.',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    ' 1.2.3.4',
    '1.2.3.4\n',
  ];
  for (const text of [
    ...none,
    '1.2.3.4/8',
    '0x7f.1',
    '١.2.3.4',
    'a.test',
    '1.2.3.a',
    ':',
    'fe80::1%a',
  ]) {
    it(`${JSON.stringify(text)} is no address`, () => {
      assert.equal(parseAddress(text), undefined);
    });
  }
});
