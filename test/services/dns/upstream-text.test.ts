import assert from 'node:assert/strict';
import { parseSecureUpstream, upstreamText } from '../../../src/services/dns/upstream-text.ts';

describe('the text of an upstream over TLS', () => {
  for (const [text, address, port, tlsName, canonical] of [
    ['tls://9.9.9.9#dns.example', '9.9.9.9', 853, 'dns.example', 'tls://9.9.9.9:853#dns.example'],
    ['TLS://9.9.9.9:8853#DNS.example', '9.9.9.9', 8853, 'dns.example', undefined],
    ['tls://9.9.9.9', '9.9.9.9', 853, '9.9.9.9', 'tls://9.9.9.9:853'],
    ['tls://[2620:fe::fe]:853#dns.example', '2620:fe::fe', 853, 'dns.example', undefined],
    ['tls://[2620:fe::fe]', '2620:fe::fe', 853, '2620:fe::fe', 'tls://[2620:fe::fe]:853'],
    ['tls://DNS.example', 'dns.example', 853, 'dns.example', 'tls://dns.example:853'],
    ['tls://one.example#two.example', 'one.example', 853, 'two.example', undefined],
  ] as const) {
    it(`${text} is read, and read again as it is shown`, () => {
      const upstream = parseSecureUpstream(text);
      assert.deepEqual(upstream, { address, port, tlsName });
      const shown = upstreamText(upstream);
      if (canonical !== undefined) assert.equal(shown, canonical);
      assert.deepEqual(parseSecureUpstream(shown), upstream);
    });
  }

  for (const [text, address, port, tlsName, httpsPath, canonical] of [
    [
      'https://dns.example/dns-query',
      ...(['dns.example', 443, 'dns.example', '/dns-query'] as const),
      'https://dns.example:443/dns-query',
    ],
    [
      'HTTPS://9.9.9.9/dns-query#dns.example',
      ...(['9.9.9.9', 443, 'dns.example', '/dns-query'] as const),
      'https://9.9.9.9:443/dns-query#dns.example',
    ],
    ['https://9.9.9.9', '9.9.9.9', 443, '9.9.9.9', '/dns-query', undefined],
    ['https://dns.example/Q{?dns}', 'dns.example', 443, 'dns.example', '/Q', undefined],
    [
      'https://[2620:fe::fe]:8443/a/b?c=d#dns.example',
      ...(['2620:fe::fe', 8443, 'dns.example', '/a/b?c=d', undefined] as const),
    ],
  ] as const) {
    it(`${text} is read, and read again as it is shown`, () => {
      const upstream = parseSecureUpstream(text);
      assert.deepEqual(upstream, { address, port, tlsName, httpsPath });
      const shown = upstreamText(upstream);
      if (canonical !== undefined) assert.equal(shown, canonical);
      assert.deepEqual(parseSecureUpstream(shown), upstream);
    });
  }

  for (const text of [
    'tls://',
    'tls://9.9.9',
    'tls://9.9.9.999',
    'tls://-a.example',
    'tls://dns..example',
    'tls://9.9.9.9:0',
    'tls://9.9.9.9:65536',
    'tls://9.9.9.9#',
    'tls://9.9.9.9#a..b',
    'tls://9.9.9.9#-a',
    'tls://9.9.9.9#a#b',
    'tls://9.9.9.9/x',
    'tls://2620:fe::fe',
    'tls://[9.9.9.9]',
    'tls://[dns.example]',
    'http://9.9.9.9',
    'https://',
    'https:///dns-query',
    'https://a@9.9.9.9/dns-query',
    'https://9.9.9.9/a b',
    'https://9.9.9.9/\u00e9',
    `https://9.9.9.9/${'x'.repeat(1024)}`,
  ]) {
    it(`${text.slice(0, 40)} is refused`, () => {
      assert.equal(parseSecureUpstream(text), undefined);
    });
  }

  it('a server in the clear is shown as before', () => {
    assert.equal(upstreamText({ address: '::1', port: 5353 }), '::1#5353');
  });
});
