import assert from 'node:assert/strict';
import { parseTlsUpstream, upstreamText } from '../../../src/services/dns/upstream-text.ts';

describe('the text of an upstream over TLS', () => {
  for (const [text, address, port, tlsName, canonical] of [
    ['tls://9.9.9.9#dns.example', '9.9.9.9', 853, 'dns.example', 'tls://9.9.9.9:853#dns.example'],
    ['TLS://9.9.9.9:8853#DNS.example', '9.9.9.9', 8853, 'dns.example', undefined],
    ['tls://9.9.9.9', '9.9.9.9', 853, '9.9.9.9', 'tls://9.9.9.9:853'],
    ['tls://[2620:fe::fe]:853#dns.example', '2620:fe::fe', 853, 'dns.example', undefined],
    ['tls://[2620:fe::fe]', '2620:fe::fe', 853, '2620:fe::fe', 'tls://[2620:fe::fe]:853'],
  ] as const) {
    it(`${text} is read, and read again as it is shown`, () => {
      const upstream = parseTlsUpstream(text);
      assert.deepEqual(upstream, { address, port, tlsName });
      const shown = upstreamText(upstream);
      if (canonical !== undefined) assert.equal(shown, canonical);
      assert.deepEqual(parseTlsUpstream(shown), upstream);
    });
  }

  for (const text of [
    'tls://',
    'tls://dns.example',
    'tls://9.9.9.9:0',
    'tls://9.9.9.9:65536',
    'tls://9.9.9.9#',
    'tls://9.9.9.9#a..b',
    'tls://9.9.9.9#-a',
    'tls://9.9.9.9#a#b',
    'tls://9.9.9.9/x',
    'tls://2620:fe::fe',
    'tls://[9.9.9.9]',
    'https://9.9.9.9',
  ]) {
    it(`${text} is refused`, () => assert.equal(parseTlsUpstream(text), undefined));
  }

  it('a server in the clear is shown as before', () => {
    assert.equal(upstreamText({ address: '::1', port: 5353 }), '::1#5353');
  });
});
