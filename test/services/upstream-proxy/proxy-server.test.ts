import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  authority,
  parseCredentials,
  parseProxyServer,
  proxyText,
} from '../../../src/services/upstream-proxy/proxy-server.ts';

describe('services/upstream-proxy: a proxy as people write it down', () => {
  const proxies: readonly (readonly [string, string])[] = [
    ['http://proxy.example:3128', 'http://proxy.example:3128'],
    ['http://PROXY.example:3128/', 'http://proxy.example:3128'],
    ['http://proxy.example', 'http://proxy.example:80'],
    ['proxy.example:8080', 'http://proxy.example:8080'],
    ['192.0.2.1:3128', 'http://192.0.2.1:3128'],
    ['http://[2001:db8::1]:3128', 'http://[2001:db8::1]:3128'],
    ['socks5://127.0.0.1:1080', 'socks5://127.0.0.1:1080'],
    ['socks5h://proxy.example', 'socks5h://proxy.example:1080'],
    ['http://u:p@proxy.example:1', 'http://proxy.example:1'],
  ];
  for (const [text, read] of proxies) {
    it(`${text} is ${read}`, () => {
      const server = parseProxyServer(text);
      assert.ok(server !== undefined);
      assert.equal(proxyText(server), read);
    });
  }

  for (const text of [
    ...['', 'http://', 'https://proxy.example:443', 'socks4://a:1', 'http://a:0', 'http://a:65536'],
    ...[
      'http://a:1/path',
      'http://a b:1',
      'http://a..b:1',
      'http://%zz:x@a:1',
      'http://:p@a:1',
      'a:1:2',
    ],
  ]) {
    it(`${JSON.stringify(text)} is none`, () => assert.equal(parseProxyServer(text), undefined));
  }

  it('may have a user name and a password, which are not shown', () => {
    const server = parseProxyServer('http://us%40er:p%3Aw:d@proxy.example:3128');
    assert.deepEqual(server?.credentials, { user: 'us@er', password: 'p:w:d' });
    assert.ok(server !== undefined);
    assert.equal(proxyText(server), 'http://proxy.example:3128');
  });

  it('has its credentials in a line, without control characters and not longer than SOCKS allows', () => {
    assert.deepEqual(parseCredentials('user:pass:word'), { user: 'user', password: 'pass:word' });
    assert.deepEqual(parseCredentials('user:'), { user: 'user', password: '' });
    for (const line of ['', 'user', ':pass', 'a\r:b', 'a:b\n', `a:${'b'.repeat(256)}`]) {
      assert.equal(parseCredentials(line), undefined);
    }
  });

  it('never throws on text of any kind', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseProxyServer(text)));
    fc.assert(fc.property(fc.string(), (text) => void parseCredentials(text)));
  });

  it('writes addresses of IPv6 in brackets', () => {
    assert.equal(authority({ host: '2001:db8::1', port: 443 }), '[2001:db8::1]:443');
    assert.equal(authority({ host: 'a.test', port: 443 }), 'a.test:443');
  });
});
