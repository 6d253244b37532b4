import assert from 'node:assert/strict';
import type { RecordType } from 'dns-packet';
import fc from 'fast-check';
import { IpAddress } from '../../../src/base/ip-address.ts';
import { parseAddress, parsePrefix } from '../../../src/services/address-text.ts';
import { parseHosts } from '../../../src/services/dns/hosts.ts';
import { LocalNames } from '../../../src/services/dns/local-names.ts';
import { readQuery } from '../../../src/services/dns/message.ts';
import { namePattern } from '../../../src/services/dns/name-pattern.ts';
import { dataOf, HTTPS, query, rcodeOf, unpack } from './dns-wire.ts';

function address(text: string): NonNullable<ReturnType<typeof parseAddress>> {
  const parsed = parseAddress(text);
  assert.ok(parsed, text);
  return parsed;
}

function prefix(text: string): NonNullable<ReturnType<typeof parsePrefix>> {
  const parsed = parsePrefix(text);
  assert.ok(parsed, text);
  return parsed;
}

function makeNames(): LocalNames {
  const names = new LocalNames({
    gateway: [address('192.168.127.1'), address('fd00::1')],
    host: [address('192.168.127.254')],
    zones: [
      { zone: 'dev.test', address: address('10.1.1.1') },
      { zone: 'deep.dev.test', address: address('10.2.2.2') },
      { zone: 'six.test', address: address('fd00::6') },
      { zone: 'special.docker.internal', address: address('10.3.3.3') },
    ],
    networks: [prefix('10.77.0.0/20'), prefix('fd00:0:0:7::/64')],
    guests: {
      addressesOf: (name) =>
        name === 'build' ? [address('10.77.0.9'), address('fd00:0:0:7::9')] : [],
      nameAt: ({ d }) => ((d & 0xff) === 9 ? 'build' : undefined),
    },
  });
  names.setHosts(
    parseHosts('10.9.9.9 Box.lan box # comment\nfd00::9 box.lan\n10.9.9.8 x.dev.test\n'),
  );
  return names;
}

const SUBNET6 = `7.${'0.'.repeat(13)}d.f.ip6.arpa`;

/** What is answered: data, `empty`, `nxdomain`, or `upstream`. */
function ask(name: string, type: RecordType = 'A', names: LocalNames = makeNames()): string {
  const reply = names.answer(query(name, type));
  if (reply === undefined) return 'upstream';
  if (rcodeOf(reply) === 3) return 'nxdomain';
  return dataOf(reply).join(' ') || 'empty';
}

describe('local DNS names', () => {
  const ANSWERS: readonly (readonly [string, RecordType, string])[] = [
    ['gateway.containers.internal', 'A', '192.168.127.1'],
    ['gateway.docker.internal', 'A', '192.168.127.1'],
    ['gateway.hawser.internal', 'AAAA', 'fd00::1'],
    ['host.containers.internal', 'A', '192.168.127.254'],
    ['HOST.Docker.Internal', 'A', '192.168.127.254'],
    ['host.docker.internal', 'AAAA', 'empty'],
    ['host.docker.internal', 'SRV', 'empty'],
    ['host.docker.internal', HTTPS, 'empty'],
    ['any.dev.test', HTTPS, 'empty'],
    ['box.lan', HTTPS, 'empty'],
    ['docker.internal', 'A', 'empty'],
    ['other.docker.internal', 'A', 'nxdomain'],
    ['below.host.docker.internal', 'A', 'nxdomain'],
    ['xdocker.internal', 'A', 'upstream'],
    ['internal', 'A', 'upstream'],
    ['dev.test', 'A', '10.1.1.1'],
    ['any.thing.DEV.test', 'A', '10.1.1.1'],
    ['a.deep.dev.test', 'A', '10.2.2.2'],
    ['dev.test', 'AAAA', 'empty'],
    ['xdev.test', 'A', 'upstream'],
    ['a.six.test', 'AAAA', 'fd00::6'],
    ['a.six.test', 'A', 'empty'],
    ['a.special.docker.internal', 'A', '10.3.3.3'],
    ['box.lan', 'A', '10.9.9.9'],
    ['BOX', 'A', '10.9.9.9'],
    ['box.lan', 'AAAA', 'fd00::9'],
    ['box', 'AAAA', 'empty'],
    ['box.lan', 'MX', 'empty'],
    ['box.lan', 'TXT', 'empty'],
    ['box', 'SRV', 'empty'],
    ['x.dev.test', 'A', '10.9.9.8'],
    ['1.127.168.192.in-addr.arpa', 'PTR', 'gateway.hawser.internal'],
    ['254.127.168.192.in-addr.arpa', 'PTR', 'host.hawser.internal'],
    ['9.9.9.10.in-addr.arpa', 'PTR', 'box.lan'],
    ['9.9.9.10.in-addr.arpa', 'A', 'empty'],
    ['2.127.168.192.in-addr.arpa', 'PTR', 'upstream'],
    [`1.${'0.'.repeat(27)}0.d.f.ip6.arpa`, 'PTR', 'upstream'],
    [`1.${'0.'.repeat(29)}d.f.ip6.arpa`, 'PTR', 'gateway.hawser.internal'],
    ['build.hawser.internal', 'A', '10.77.0.9'],
    ['Build.Hawser.internal', 'AAAA', 'fd00::7:0:0:0:9'],
    ['build.hawser.internal', HTTPS, 'empty'],
    ['x.build.hawser.internal', 'A', 'nxdomain'],
    ['other.hawser.internal', 'AAAA', 'nxdomain'],
    ['build.docker.internal', 'A', 'nxdomain'],
    ['9.0.77.10.in-addr.arpa', 'PTR', 'build.hawser.internal'],
    ['8.0.77.10.in-addr.arpa', 'PTR', 'nxdomain'],
    ['8.15.77.10.in-addr.arpa', 'PTR', 'nxdomain'],
    ['8.16.77.10.in-addr.arpa', 'PTR', 'upstream'],
    ['0.77.10.in-addr.arpa', 'PTR', 'empty'],
    ['77.10.in-addr.arpa', 'PTR', 'upstream'],
    ['08.0.77.10.in-addr.arpa', 'PTR', 'upstream'],
    [`9.${'0.'.repeat(15)}${SUBNET6}`, 'PTR', 'build.hawser.internal'],
    [`9.${'0.'.repeat(15)}${SUBNET6}`, 'AAAA', 'empty'],
    [`8.${'0.'.repeat(15)}${SUBNET6}`, 'PTR', 'nxdomain'],
    [`0.0.${SUBNET6}`, 'PTR', 'empty'],
    [SUBNET6, 'PTR', 'empty'],
    [SUBNET6.slice(2), 'PTR', 'upstream'],
    [`g.${'0.'.repeat(15)}${SUBNET6}`, 'PTR', 'upstream'],
    [`9.9.${'0.'.repeat(15)}${SUBNET6}`, 'PTR', 'upstream'],
    ['localhost', 'A', '127.0.0.1'],
    ['a.localhost', 'AAAA', '::1'],
    ['localhost', 'MX', 'empty'],
    ['1.0.0.127.in-addr.arpa', 'PTR', 'localhost'],
    ['a.invalid', 'A', 'nxdomain'],
    ['resolver.arpa', 'A', 'empty'],
    ['_dns.resolver.arpa', 'A', 'empty'],
    ['example.org', 'A', 'upstream'],
  ];
  for (const [name, type, expected] of ANSWERS) {
    it(`${name} ${type}: ${expected}`, () => assert.equal(ask(name, type), expected));
  }

  it('records come before hosts and zones, of both families, and go at once', () => {
    const names = makeNames();
    names.records.add({ name: 'box.lan', address: address('192.0.2.7') });
    names.records.add({ name: 'www.example.org', address: address('192.0.2.8') });
    names.records.add({ name: 'www.example.org', address: address('2001:db8::8') });
    assert.equal(ask('box.lan', 'A', names), '192.0.2.7');
    assert.equal(ask('box.lan', 'AAAA', names), 'empty');
    assert.equal(ask('WWW.example.org', 'AAAA', names), '2001:db8::8');
    assert.equal(ask('www.example.org', 'MX', names), 'empty');
    assert.equal(ask('x.www.example.org', 'A', names), 'upstream');
    names.records.remove('box.lan');
    names.records.remove('www.example.org');
    assert.equal(ask('box.lan', 'A', names), '10.9.9.9');
    assert.equal(ask('www.example.org', 'A', names), 'upstream');
  });

  it('an address of records leads to the first name that has it', () => {
    const names = makeNames();
    const reverse = '9.9.9.10.in-addr.arpa';
    assert.equal(ask(reverse, 'PTR', names), 'box.lan');
    for (const name of ['one.test', 'two.test']) {
      names.records.add({ name, address: address('10.9.9.9') });
    }
    assert.equal(ask(reverse, 'PTR', names), 'one.test');
    assert.equal(ask(reverse, 'A', names), 'empty');
    names.records.remove('one.test', address('10.9.9.9'));
    assert.equal(ask(reverse, 'PTR', names), 'two.test');
    names.records.remove('two.test');
    assert.equal(ask(reverse, 'PTR', names), 'box.lan');
  });

  it('names by which browsers decide for other resolvers do not exist, by option', () => {
    const canaries = ['use-application-dns.net', 'mask.icloud.com', 'mask-h2.icloud.com'];
    const names = new LocalNames({ gateway: [], host: [], zones: [], hasCanaries: true });
    for (const name of canaries) {
      assert.equal(ask(name, 'A', names), 'nxdomain');
      assert.equal(ask(name), 'upstream');
    }
    assert.equal(ask('icloud.com', 'A', names), 'upstream');
  });

  it('repeats the question as it was asked, and OPT only to those who sent one', () => {
    const plain = unpack(makeNames().answer(query('HOST.docker.internal')) ?? new Uint8Array(12));
    assert.equal(plain.questions?.[0]?.name, 'HOST.docker.internal');
    assert.deepEqual([plain.flag_aa, plain.flag_ra, plain.flag_rd], [true, true, true]);
    assert.equal(plain.additionals?.length, 0);
    const asked = query('host.docker.internal', 'A', { udpSize: 1232, id: 77 });
    const edns = unpack(makeNames().answer(asked) ?? new Uint8Array(12));
    assert.deepEqual([edns.id, edns.additionals?.[0]?.type], [77, 'OPT']);
  });

  it('repeats whether signatures are wanted (RFC 3225 §3)', () => {
    for (const dnssecOk of [false, true]) {
      const asked = query('host.docker.internal', 'A', { udpSize: 1232, dnssecOk });
      const [opt] = unpack(makeNames().answer(asked) ?? new Uint8Array(12)).additionals ?? [];
      assert.ok(opt?.type === 'OPT' && opt.flag_do === dnssecOk);
    }
  });

  it('sends an SOA with every negative answer, so that it can be remembered (RFC 2308 §3)', () => {
    for (const name of ['other.docker.internal', 'dev.test', 'a.invalid']) {
      const reply = makeNames().answer(query(name, 'AAAA'));
      assert.equal(reply && unpack(reply).authorities?.[0]?.type, 'SOA', name);
    }
  });

  it('an SOA is that of the zone of the reverse name', () => {
    const cases = [
      ['8.0.77.10.in-addr.arpa', '77.10.in-addr.arpa'],
      [`8.${'0.'.repeat(15)}${SUBNET6}`, SUBNET6],
    ] as const;
    for (const [name, zone] of cases) {
      const reply = makeNames().answer(query(name, 'PTR'));
      assert.equal(reply && unpack(reply).authorities?.[0]?.name, zone);
    }
  });

  it('closes the host name with the host address', () => {
    const closed = new LocalNames({ gateway: [address('10.0.0.1')], host: [], zones: [] });
    const reply = closed.answer(query('host.docker.internal'));
    assert.equal(reply && rcodeOf(reply), 3);
  });

  it('leaves other classes to the upstream', () => {
    const bytes = query('host.docker.internal').bytes.slice();
    bytes[bytes.length - 1] = 3; // CHAOS
    const chaos = readQuery(bytes);
    assert.ok(typeof chaos !== 'string');
    assert.equal(makeNames().answer(chaos), undefined);
  });

  it('never throws on hostile names inside local zones', () => {
    const names = makeNames();
    const labels = fc.array(fc.uint8Array({ minLength: 1, maxLength: 63 }), { maxLength: 2 });
    fc.assert(
      fc.property(
        labels,
        fc.constantFrom('dev.test', 'localhost', 'docker.internal'),
        (odd, zone) => {
          const tail = query(zone).bytes;
          const head = odd.flatMap((label) => [label.length, ...label]);
          const bytes = Uint8Array.from([...tail.subarray(0, 12), ...head, ...tail.subarray(12)]);
          const read = readQuery(bytes);
          assert.ok(typeof read !== 'string');
          const reply = names.answer(read);
          assert.ok(reply);
          assert.deepEqual(
            reply.subarray(12, read.questionEnd),
            bytes.subarray(12, read.questionEnd),
          );
          unpack(reply);
        },
      ),
    );
  });
});

describe('local DNS names: zones with records', () => {
  const names = makeNames();
  const zone = (name: string, records: object, defaultIP?: string): void => {
    names.recordZones.add({
      name,
      records: Object.entries(records).map(([label, ip]) =>
        label.startsWith('^')
          ? { name: '', address: address(ip), pattern: namePattern(label) }
          : { name: label, address: ip === '' ? undefined : address(ip), pattern: undefined },
      ),
      defaultAddress: defaultIP === undefined ? undefined : address(defaultIP),
    });
  };
  before(() => {
    zone('containers.internal.', { gateway: '192.168.127.1', host: '192.168.127.254' });
    zone('Apps.Test.', { 'a.b': '10.4.4.4', none: '', '^Crc-\\d+$': '10.5.5.5' });
    zone('all.test.', { x: '10.6.6.6' }, '10.7.7.7');
    zone('internal.', { 'host.lima': '10.8.8.8' });
    zone('dev.test.', { one: '10.9.9.1' });
  });

  const ANSWERS: readonly (readonly [string, RecordType, string])[] = [
    ['gateway.containers.internal', 'A', '192.168.127.1'],
    ['GATEWAY.containers.internal', 'AAAA', 'fd00::1'],
    ['host.containers.internal', 'AAAA', 'empty'],
    ['other.containers.internal', 'A', 'nxdomain'],
    ['containers.internal', 'A', 'empty'],
    ['A.B.apps.test', 'A', '10.4.4.4'],
    ['a.b.apps.test', 'AAAA', 'empty'],
    ['a.b.apps.test', 'MX', 'empty'],
    ['none.apps.test', 'A', 'empty'],
    ['CRC-12.apps.test', 'A', '10.5.5.5'],
    ['crc-x.apps.test', 'A', 'nxdomain'],
    ['any.thing.all.test', 'A', '10.7.7.7'],
    ['x.all.test', 'A', '10.6.6.6'],
    ['host.lima.internal', 'A', '10.8.8.8'],
    ['gateway.hawser.internal', 'A', '192.168.127.1'],
    ['build.hawser.internal', 'A', '10.77.0.9'],
    ['other.internal', 'A', 'nxdomain'],
    ['one.dev.test', 'A', '10.9.9.1'],
    ['x.dev.test', 'A', '10.9.9.8'],
    ['localhost', 'A', '127.0.0.1'],
    ['example.com', 'A', 'upstream'],
  ];
  for (const [name, type, expected] of ANSWERS) {
    it(`${name} ${type}: ${expected}`, () => assert.equal(ask(name, type, names), expected));
  }

  it('a name has more addresses than a message: it is full of them', () => {
    for (let n = 0; n < 4_096; n++) {
      names.records.add({ name: 'many.test', address: new IpAddress(0xfd00_0000, 0, 0, n) });
    }
    const reply = names.answer(query('many.test', 'AAAA'));
    assert.ok(reply !== undefined && reply.length <= 65_535 && reply.length > 60_000);
    const { answers = [] } = unpack(reply);
    assert.ok(answers.length > 1_000);
    assert.ok(answers.every(({ name, type }) => name === 'many.test' && type === 'AAAA'));
  });

  it('a pattern takes time in proportion to the name, whatever it is', () => {
    zone('slow.test.', { '^(a+)+$': '10.1.1.1' });
    const begun = performance.now();
    ask(`${'a'.repeat(60)}.${'a'.repeat(60)}!.slow.test`, 'A', names);
    assert.ok(performance.now() - begun < 1_000);
  });

  it('a pattern that is none is an error in the words of Go', () => {
    assert.throws(() => namePattern('('), {
      message: 'error parsing regexp: missing closing ): `(`',
    });
  });
});
