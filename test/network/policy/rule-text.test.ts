import assert from 'node:assert/strict';
import { parseRuleText } from '../../../src/network/policy/rule-text.ts';

const GOOD: readonly (readonly [string, object])[] = [
  ['*', {}],
  ['*:443', { port: '443' }],
  ['*/icmp', { protocol: 'icmp' }],
  ['example.com', { name: 'example.com' }],
  ['*.example.com:443/tcp', { name: '*.example.com', port: '443', protocol: 'tcp' }],
  ['example.com:80,8000-8010', { name: 'example.com', port: '80,8000-8010' }],
  ['192.0.2.1', { cidr: '192.0.2.1' }],
  ['192.0.2.1:53/udp', { cidr: '192.0.2.1', port: '53', protocol: 'udp' }],
  ['10.0.0.0/8', { cidr: '10.0.0.0/8' }],
  ['10.0.0.0/8:443', { cidr: '10.0.0.0/8', port: '443' }],
  ['10.0.0.0/8/tcp', { cidr: '10.0.0.0/8', protocol: 'tcp' }],
  ['2001:db8::/32', { cidr: '2001:db8::/32' }],
  ['2001:db8::1/udp', { cidr: '2001:db8::1', protocol: 'udp' }],
  ['[2001:db8::1]:443', { cidr: '2001:db8::1', port: '443' }],
  ['[2001:db8::]/32:443/tcp', { cidr: '2001:db8::/32', port: '443', protocol: 'tcp' }],
  ['host:5432/tcp', { to: 'host', port: '5432', protocol: 'tcp' }],
  ['private', { to: 'private' }],
  // Not right, and the document says why.
  ['300.0.0.0/8', { cidr: '300.0.0.0/8' }],
  ['10.0.0', { cidr: '10.0.0' }],
];

describe('network/policy/rule-text', () => {
  for (const [text, fields] of GOOD) {
    it(`${text} is ${JSON.stringify(fields)}`, () => {
      assert.deepEqual(parseRuleText(text), { value: fields });
    });
  }
  for (const text of ['', ':443', 'a.test:x', '[2001:db8::1', 'a.test:443:1', '[a.test]:1']) {
    it(`${JSON.stringify(text)} is none`, () => assert.ok('problem' in parseRuleText(text)));
  }
});
