import assert from 'node:assert/strict';
import { parseSubnet6, uniqueLocalSubnet } from '../../src/network/ipv6-text.ts';

describe('network/ipv6-text', () => {
  for (const [text, subnet] of [
    ['fd12:3456:789a:1::/64', 'fd12:3456:789a:1::/64'],
    ['FD12:3456:789A:0001:0:0:0:0/64', 'fd12:3456:789a:1::/64'],
    ['2001:db8::/64', '2001:db8::/64'],
    ['host', 'host'],
    ['none', 'none'],
  ] as const) {
    it(`takes ${text}`, () => assert.deepEqual(parseSubnet6(text), { value: subnet }));
  }

  for (const text of [
    '::/64',
    '::ffff:0:0/64',
    '64:ff9b::/64',
    '64:ff9b:1::/64',
    '2001::/64',
    '2002:c000:204::/64',
    'fe80::/64',
    'fec0::/64',
    'ff05::/64',
    'fd00::/63',
    'fd00::%lo/64',
    '',
  ]) {
    it(`refuses ${text || 'nothing'}`, () => assert.ok('problem' in parseSubnet6(text)));
  }

  it('the default is a unique local network that is the same for a name', () => {
    const subnet = uniqueLocalSubnet('default');
    assert.equal(subnet, uniqueLocalSubnet('default'));
    assert.match(subnet, /^fd[0-9a-f]{2}:/); // RFC 4193 §3.1
    assert.deepEqual(parseSubnet6(subnet), { value: subnet });
    assert.notEqual(subnet, uniqueLocalSubnet('build'));
  });
});
