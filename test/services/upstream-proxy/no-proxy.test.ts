import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseAddress } from '../../../src/services/address-text.ts';
import {
  isNoProxyEntry,
  NoProxy,
  noProxyEntries,
} from '../../../src/services/upstream-proxy/no-proxy.ts';

const rows: readonly (readonly [
  entry: string,
  destination: string,
  port: number,
  isExcluded: boolean,
])[] = [
  ['example.com', 'example.com', 443, true],
  ['example.com', 'www.example.com', 443, true],
  ['example.com', 'badexample.com', 443, false],
  ['EXAMPLE.com', 'example.com', 443, true],
  ['.example.com', 'example.com', 443, false],
  ['.example.com', 'a.b.example.com', 443, true],
  ['*.example.com', 'example.com', 443, false],
  ['*.example.com', 'a.example.com', 443, true],
  ['*.local', 'x.local', 80, true],
  ['localhost', 'localhost', 80, true],
  ['example.com:8080', 'example.com', 8080, true],
  ['example.com:8080', 'example.com', 80, false],
  ['10.0.0.0/8', '10.1.2.3', 80, true],
  ['10.0.0.0/8', '11.1.2.3', 80, false],
  ['192.0.2.1', '192.0.2.1', 80, true],
  ['192.0.2.1:80', '192.0.2.1', 81, false],
  ['2001:db8::/32', '2001:db8::1', 80, true],
  ['[2001:db8::1]', '2001:db8::1', 80, true],
  ['[2001:db8::1]:80', '2001:db8::1', 80, true],
  ['[2001:db8::1]:80', '2001:db8::1', 81, false],
  ['2001:db8::/32', '192.0.2.1', 80, false],
  ['*', 'anything.test', 1, true],
  ['*', '192.0.2.1', 1, true],
];

describe('services/upstream-proxy: what is not for the proxy', () => {
  for (const [entry, destination, port, isExcluded] of rows) {
    it(`${entry} ${isExcluded ? 'has' : 'has not'} ${destination}:${port}`, () => {
      const list = new NoProxy([entry]);
      assert.equal(list.hasName(destination, port), isExcluded);
      const address = parseAddress(destination);
      if (address !== undefined) assert.equal(list.hasAddress(address, port), isExcluded);
    });
  }

  it('has an address that is stated in brackets', () => {
    assert.equal(new NoProxy(['2001:db8::1']).hasName('[2001:db8::1]', 80), true);
  });

  for (const bad of [
    '',
    'a b',
    'http://x',
    'a..b',
    '10.0.0.0/40',
    'a:0',
    'a:99999',
    '**.x',
    '*.',
    '.',
    'x*',
  ]) {
    it(`${JSON.stringify(bad)} is no entry`, () => assert.equal(isNoProxyEntry(bad), false));
  }

  it('is a list with commas or spaces', () => {
    assert.deepEqual(noProxyEntries(' a, b\tc ,,d '), ['a', 'b', 'c', 'd']);
  });

  it('never throws, and reads every entry in time', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (entry, name) => {
        new NoProxy([entry]).hasName(name, 80);
      }),
    );
  });
});
