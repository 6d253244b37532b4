import assert from 'node:assert/strict';
import { IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import { proxyHeader } from '../../src/wire/proxy-protocol.ts';

const V4 = {
  client: ipv4(0xc000_0201 | 0),
  clientPort: 56_324,
  server: ipv4(0xc633_6405 | 0),
  serverPort: 443,
};
const V6 = {
  ...V4,
  client: new IpAddress(0x2001_0db8, 0, 0, 1),
  server: new IpAddress(0x2001_0db8, 0, 0, 2),
};
const SIGNATURE = '0d0a0d0a000d0a515549540a';

describe('wire/proxy-protocol', () => {
  for (const [name, connection, text] of [
    ['IPv4', V4, 'PROXY TCP4 192.0.2.1 198.51.100.5 56324 443\r\n'],
    ['IPv6', V6, 'PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n'],
    ['no addresses', undefined, 'PROXY UNKNOWN\r\n'],
  ] as const) {
    it(`version 1, ${name}`, () => {
      assert.equal(Buffer.from(proxyHeader('v1', connection)).toString(), text);
    });
  }

  for (const [name, connection, rest] of [
    ['IPv4', V4, '2111000cc0000201c6336405dc0401bb'],
    [
      'IPv6',
      V6,
      '2121002420010db800000000000000000000000120010db8000000000000000000000002dc0401bb',
    ],
    ['no addresses', undefined, '21000000'],
  ] as const) {
    it(`version 2, ${name}`, () => {
      const header = Buffer.from(proxyHeader('v2', connection)).toString('hex');
      assert.equal(header, SIGNATURE + rest);
    });
  }
});
