import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseAddress } from '../../../src/services/address-text.ts';
import { parseHosts } from '../../../src/services/dns/hosts.ts';
import { parseResolvConf, parseUpstream } from '../../../src/services/dns/resolv-conf.ts';
import { reverseName } from '../../../src/services/dns/reverse-name.ts';

describe('resolver configuration', () => {
  it('reads servers, search list and options', () => {
    const text = [
      '# made by a VPN',
      'nameserver 127.0.0.53',
      '  nameserver\t10.0.0.1   # second',
      'nameserver fe80::1%eth0',
      'nameserver nonsense',
      'domain old.example',
      'search Corp.Example. example ',
      'options ndots:2 timeout:3 attempts:9 trust-ad rotate use-vc',
      'sortlist 1.2.3.4',
      '; nameserver 9.9.9.9',
    ].join('\r\n');
    assert.deepEqual(parseResolvConf(text), {
      upstreams: [
        { address: '127.0.0.53', port: 53 },
        { address: '10.0.0.1', port: 53 },
        { address: 'fe80::1%eth0', port: 53 },
      ],
      search: ['corp.example', 'example'],
      timeoutMs: 3000,
      attempts: 5,
      rotate: true,
      useVc: true,
    });
  });

  it('is empty for an empty file', () => {
    assert.deepEqual(parseResolvConf(''), {
      upstreams: [],
      search: [],
      timeoutMs: undefined,
      attempts: undefined,
      rotate: false,
      useVc: false,
    });
  });

  const UPSTREAMS: readonly (readonly [string, string | undefined])[] = [
    ['1.2.3.4', '1.2.3.4#53'],
    ['1.2.3.4#5353', '1.2.3.4#5353'],
    ['::1#1', '::1#1'],
    ['fe80::1%en-0#53', 'fe80::1%en-0#53'],
    ['1.2.3.4%eth0', undefined],
    ['1.2.3.4#0', undefined],
    ['1.2.3.4#65536', undefined],
    ['1.2.3.4/24', undefined],
    ['1.2.3', undefined],
    ['host', undefined],
    ['', undefined],
  ];
  for (const [text, expected] of UPSTREAMS) {
    it(`--dns '${text}': ${expected ?? 'refused'}`, () => {
      const upstream = parseUpstream(text);
      assert.equal(upstream && `${upstream.address}#${upstream.port}`, expected);
    });
  }

  it('parses the addresses that it prints', () => {
    const v4 = fc.ipV4();
    for (const text of ['0.0.0.0', '255.255.255.255', '::', '::1', 'fd00::1:0:0:2']) {
      assert.equal(parseAddress(text)?.toString(), text);
    }
    fc.assert(fc.property(v4, (text) => assert.equal(parseAddress(text)?.toString(), text)));
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const parsed = parseAddress(text);
        assert.ok(parsed);
        assert.ok(parseAddress(parsed.toString())?.equals(parsed));
      }),
    );
  });

  it('names the reverse of both families', () => {
    const reverse = (text: string): string => {
      const parsed = parseAddress(text);
      return parsed === undefined ? '' : reverseName(parsed);
    };
    assert.equal(reverse('192.0.2.5'), '5.2.0.192.in-addr.arpa');
    assert.equal(
      reverse('2001:db8::567:89ab'), // RFC 3596 §2.5
      'b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa',
    );
  });

  it('reads hosts files, skipping what is no address or no name', () => {
    const entries = parseHosts('# c\n10.0.0.1 A.b. c#d\nnonsense x\n::1\n::2 bad..name ok\n');
    assert.deepEqual(
      entries.map(({ address, names }) => [address.toString(), ...names]),
      [
        ['10.0.0.1', 'a.b', 'c'],
        ['::2', 'ok'],
      ],
    );
  });

  it('reads long lists of names to block', () => {
    const lines = Array.from({ length: 200_000 }, (_, n) => `0.0.0.0 n${n}.test`);
    assert.deepEqual(parseHosts(lines.join('\n')).at(-1)?.names, ['n199999.test']);
  });

  it('never throws on any text', () => {
    const line = fc.tuple(
      fc.constantFrom('nameserver ', 'options ', 'search ', '1.1.1.1 ', ''),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const text = lines.map((parts) => parts.join('')).join('\n');
        parseResolvConf(text);
        parseHosts(text);
      }),
    );
  });
});
