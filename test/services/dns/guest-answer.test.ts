import assert from 'node:assert/strict';
import { type Answer, decode, type RecordType } from 'dns-packet';
import fc from 'fast-check';
import { parsePrefix } from '../../../src/services/address-text.ts';
import { Dns64 } from '../../../src/services/dns/dns64.ts';
import {
  answerGuest,
  type FamilyPolicy,
  type Origin,
  type Shaping,
} from '../../../src/services/dns/guest-answer.ts';
import { parseHosts } from '../../../src/services/dns/hosts.ts';
import { LocalNames } from '../../../src/services/dns/local-names.ts';
import { FLAG_AD, FLAG_CD, FLAG_RD, FLAG_TC } from '../../../src/services/dns/message.ts';
import { LOCAL_NAT64, WELL_KNOWN_NAT64 } from '../../../src/services/nat64-address.ts';
import {
  a,
  aaaa,
  dataOf,
  flagsOf,
  HTTPS,
  https,
  type QueryOptions,
  query,
  type ReplyOptions,
  rcodeOf,
  replyBytes,
  soa,
  unpack,
} from './dns-wire.ts';

const SUBNET = parsePrefix('192.168.127.0/24');
assert.ok(SUBNET);
const PUBLIC_ONLY = new Dns64({ forPublic: WELL_KNOWN_NAT64, forPrivate: undefined }, [SUBNET]);
const WITH_PRIVATE = new Dns64({ forPublic: WELL_KNOWN_NAT64, forPrivate: LOCAL_NAT64 }, [SUBNET]);

const ALL: FamilyPolicy = { hidesIpv4: false, hidesIpv6: false, dns64: undefined };
const NO_IPV6: FamilyPolicy = { ...ALL, hidesIpv6: true };
const NO_IPV4: FamilyPolicy = { ...ALL, hidesIpv4: true };
const NAT64: FamilyPolicy = { ...ALL, dns64: PUBLIC_ONLY };
const NAT64_PRIVATE: FamilyPolicy = { ...ALL, dns64: WITH_PRIVATE };
/** The host has IPv4 only. */
const NAT64_ALONE: FamilyPolicy = { ...NAT64, hidesIpv6: true };

/** What the DNS has, by name and type; no answer at all for what is not here. */
type Dns = Readonly<Record<string, ReplyOptions | 'silence'>>;

const ROOT: ReplyOptions = { authorities: [soa('example', 900, 60)] };
const DNS: Dns = {
  'v4.example A': { answers: [a('v4.example', '1.2.3.4', 300), a('v4.example', '5.6.7.8', 30)] },
  'v4.example AAAA': ROOT,
  'v6.example A': ROOT,
  'v6.example AAAA': { answers: [aaaa('v6.example', '2001:db8::6')] },
  'both.example A': { answers: [a('both.example', '1.2.3.4')] },
  'both.example AAAA': { answers: [aaaa('both.example', '2001:db8::7')] },
  'none.example A': { rcode: 3, authorities: [soa('example', 900, 60)] },
  'none.example AAAA': { rcode: 3, authorities: [soa('example', 900, 60)] },
  'private.example A': {
    answers: [a('private.example', '10.1.1.1'), a('private.example', '192.168.127.2')],
  },
  'private.example AAAA': ROOT,
  'mixed.example A': { answers: [a('mixed.example', '10.1.1.1'), a('mixed.example', '1.2.3.4')] },
  'mixed.example AAAA': ROOT,
  'mapped.example A': { answers: [a('mapped.example', '1.2.3.4')] },
  'mapped.example AAAA': { answers: [aaaa('mapped.example', '::ffff:1.2.3.4')] },
  'half.example AAAA': {
    answers: [aaaa('half.example', '::ffff:1.2.3.4'), aaaa('half.example', '2001:db8::8')],
  },
  'broken.example A': { answers: [a('broken.example', '1.2.3.4', 5000)] },
  'broken.example AAAA': { rcode: 2 },
  'worse.example A': { rcode: 5 },
  'worse.example AAAA': { rcode: 2 },
  'mute.example AAAA': 'silence',
  'mute.example A': { answers: [a('mute.example', '1.2.3.4')] },
  'alias.example A': {
    answers: [
      { type: 'CNAME', name: 'alias.example', ttl: 60, data: 'v4.example' },
      a('v4.example', '1.2.3.4'),
    ],
  },
  'alias.example AAAA': {
    answers: [{ type: 'CNAME', name: 'alias.example', ttl: 60, data: 'v4.example' }],
    authorities: [soa('example', 900, 60)],
  },
  'alias6.example AAAA': {
    answers: [
      { type: 'CNAME', name: 'alias6.example', ttl: 60, data: 'both.example' },
      aaaa('both.example', '2001:db8::7'),
    ],
  },
  'mail.example MX': {
    answers: [
      { type: 'MX', name: 'mail.example', data: { preference: 10, exchange: 'both.example' } },
    ],
    additionals: [a('both.example', '1.2.3.4'), aaaa('both.example', '2001:db8::7')],
  },
  'web.example HTTPS': {
    answers: [https('web.example', '1.2.3.4', '2001:db8::7')],
  },
  '4.3.2.1.in-addr.arpa PTR': {
    answers: [{ type: 'PTR', name: '4.3.2.1.in-addr.arpa', ttl: 60, data: 'v4.example' }],
  },
  '5.3.2.1.in-addr.arpa PTR': { rcode: 3, authorities: [soa('1.in-addr.arpa', 900, 60)] },
};

interface Result {
  readonly reply: Uint8Array | undefined;
  readonly asked: readonly string[];
  readonly shaping: Shaping | undefined;
}

const TYPES: Readonly<Record<number, string>> = {
  ...{ 1: 'A', 12: 'PTR', 15: 'MX', 28: 'AAAA', 65: 'HTTPS', 255: 'ANY' },
};

function run(
  policy: FamilyPolicy,
  name: string,
  type: RecordType,
  options: QueryOptions = {},
  dns: Dns = DNS,
  names?: LocalNames,
): Result {
  const asked: string[] = [];
  let result: { reply?: Uint8Array; shaping?: Shaping | undefined } = {};
  answerGuest(
    query(name, type, options),
    policy,
    (one, found: (reply: Uint8Array, origin: Origin) => void) => {
      const local = names?.answer(one);
      if (local !== undefined) {
        found(local, 'ours');
        return;
      }
      const key = `${one.name} ${TYPES[one.type]}`;
      asked.push(key);
      const answer = dns[key];
      if (answer === 'silence') found(replyBytes(one.bytes, { rcode: 2 }), 'failure');
      else found(replyBytes(one.bytes, answer ?? ROOT), 'dns');
    },
    (reply, shaping) => {
      result = { reply, shaping };
    },
  );
  return { reply: result.reply, asked, shaping: result.shaping };
}

/** Data of the answers, or `nodata`, `nxdomain`, or the code of a failure. */
function said({ reply }: Result): string {
  assert.ok(reply);
  const rcode = rcodeOf(reply);
  if (rcode !== 0) return rcode === 3 ? 'nxdomain' : `rcode ${rcode}`;
  return dataOf(reply).join(' ') || 'nodata';
}

function reply(result: Result): Uint8Array {
  assert.ok(result.reply);
  return result.reply;
}

describe('addresses of a family that guests cannot use', () => {
  const ROWS: readonly (readonly [string, FamilyPolicy, string, RecordType, string])[] = [
    ['no policy: AAAA stay', ALL, 'both.example', 'AAAA', '2001:db8::7'],
    ['no policy: A stay', ALL, 'both.example', 'A', '1.2.3.4'],
    ['AAAA hidden', NO_IPV6, 'both.example', 'AAAA', 'nodata'],
    ['AAAA hidden, A stay', NO_IPV6, 'both.example', 'A', '1.2.3.4'],
    ['AAAA hidden of a name with these alone', NO_IPV6, 'v6.example', 'AAAA', 'nodata'],
    ['a name that does not exist', NO_IPV6, 'none.example', 'AAAA', 'nxdomain'],
    ['a failure stays one', NO_IPV6, 'broken.example', 'AAAA', 'rcode 2'],
    ['an alias stays', NO_IPV6, 'alias6.example', 'AAAA', 'both.example'],
    ['A hidden', NO_IPV4, 'both.example', 'A', 'nodata'],
    ['A hidden, AAAA stay', NO_IPV4, 'both.example', 'AAAA', '2001:db8::7'],
  ];
  for (const [what, policy, name, type, expected] of ROWS) {
    it(what, () => assert.equal(said(run(policy, name, type)), expected));
  }

  it('the answer without them can be remembered, for a short time (RFC 2308 §3)', () => {
    for (const name of ['both.example', 'alias6.example']) {
      const { authorities } = unpack(reply(run(NO_IPV6, name, 'AAAA')));
      const [first] = authorities ?? [];
      assert.deepEqual([first?.type, first?.name], ['SOA', 'both.example']);
      assert.equal(first?.type === 'SOA' && first.ttl, 10);
    }
  });

  it('the SOA that an answer has is the only one', () => {
    const dns: Dns = {
      'x.example AAAA': {
        answers: [aaaa('x.example', '2001:db8::7')],
        authorities: [soa('example', 900, 60)],
      },
    };
    const { authorities } = unpack(reply(run(NO_IPV6, 'x.example', 'AAAA', {}, dns)));
    assert.deepEqual(
      authorities?.map(({ name }) => name),
      ['example'],
    );
  });

  it('what has none of them is passed on as it is', () => {
    for (const name of ['v4.example', 'none.example', 'broken.example']) {
      const { reply: passed, shaping } = run(NO_IPV6, name, 'AAAA');
      const answer = DNS[`${name} AAAA`];
      assert.ok(answer !== undefined && answer !== 'silence');
      assert.deepEqual(passed, replyBytes(query(name, 'AAAA').bytes, answer));
      assert.equal(shaping, undefined);
    }
  });

  it('they are left out of additional records too', () => {
    const { additionals } = unpack(reply(run(NO_IPV6, 'mail.example', 'MX')));
    assert.deepEqual(
      additionals?.map(({ type }) => type),
      ['A'],
    );
  });

  for (const [policy, kept] of [
    [NO_IPV6, 'alpn=h2 ipv4hint=1.2.3.4'],
    [NO_IPV4, 'alpn=h2 ipv6hint=2001:db8::7'],
    [ALL, 'alpn=h2 ipv4hint=1.2.3.4 ipv6hint=2001:db8::7'],
  ] as const) {
    it(`of the hints of an HTTPS record: ${kept}`, () => {
      const [record] = unpack(reply(run(policy, 'web.example', HTTPS))).answers ?? [];
      const [expected] =
        unpack(
          replyBytes(query('web.example', HTTPS).bytes, {
            answers: [
              https(
                'web.example',
                kept.includes('ipv4hint') ? '1.2.3.4' : undefined,
                kept.includes('ipv6hint') ? '2001:db8::7' : undefined,
              ),
            ],
          }),
        ).answers ?? [];
      assert.deepEqual(record, expected);
    });
  }

  const SIGNED: Dns = {
    's.example AAAA': {
      flags: 0x180 | FLAG_AD,
      answers: [aaaa('s.example', '2001:db8::7'), rrsig('s.example', 'AAAA')],
    },
  };
  it('what is signed stays whole for who asks for signatures', () => {
    const options = { udpSize: 1232, dnssecOk: true };
    const whole = unpack(reply(run(NO_IPV6, 's.example', 'AAAA', options, SIGNED)));
    assert.deepEqual(
      whole.answers?.map(({ type }) => type),
      ['AAAA', 'RRSIG'],
    );
  });

  it('nobody vouches for what is left: neither signatures nor AD', () => {
    const bytes = reply(run(NO_IPV6, 's.example', 'AAAA', { flags: FLAG_RD | FLAG_AD }, SIGNED));
    assert.deepEqual(dataOf(bytes), []);
    assert.equal(flagsOf(bytes) & FLAG_AD, 0);
  });

  it('our own names are never hidden', () => {
    const names = new LocalNames({ gateway: [], host: [], zones: [] });
    names.setHosts(parseHosts('fd00::9 box.lan\n'));
    const names6 = run(NO_IPV6, 'box.lan', 'AAAA', {}, {}, names);
    assert.equal(said(names6), 'fd00::9');
  });

  it('the question is repeated as it was asked', () => {
    const { questions } = unpack(reply(run(NO_IPV6, 'BoTh.eXample', 'AAAA')));
    assert.equal(questions?.[0]?.name, 'BoTh.eXample');
  });
});

function rrsig(name: string, typeCovered: RecordType): Answer {
  return {
    type: 'RRSIG',
    name,
    ttl: 300,
    data: {
      typeCovered,
      algorithm: 8,
      labels: 2,
      originalTTL: 300,
      expiration: 2,
      inception: 1,
      keyTag: 3,
      signersName: 'example',
      signature: Buffer.alloc(16, 7),
    },
  };
}

describe('DNS64', () => {
  const ROWS: readonly (readonly [string, FamilyPolicy, string, RecordType, string])[] = [
    ['a name with IPv4 alone', NAT64, 'v4.example', 'AAAA', '64:ff9b::102:304 64:ff9b::506:708'],
    ['its A records stay', NAT64, 'v4.example', 'A', '1.2.3.4 5.6.7.8'],
    ['a name with IPv6', NAT64, 'both.example', 'AAAA', '2001:db8::7'],
    ['... that the host has no route to', NAT64_ALONE, 'both.example', 'AAAA', '64:ff9b::102:304'],
    ['a name with IPv6 alone, likewise', NAT64_ALONE, 'v6.example', 'AAAA', 'nodata'],
    ['a name that does not exist', NAT64, 'none.example', 'AAAA', 'nxdomain'],
    ['private addresses (RFC 6052 §3.1)', NAT64, 'private.example', 'AAAA', 'nodata'],
    ['... with a prefix of theirs', NAT64_PRIVATE, 'private.example', 'AAAA', '64:ff9b:1::a01:101'],
    ['public beside private ones', NAT64, 'mixed.example', 'AAAA', '64:ff9b::102:304'],
    ['an excluded address (RFC 6147 §5.1.4)', NAT64, 'mapped.example', 'AAAA', '64:ff9b::102:304'],
    ['... beside a good one', NAT64, 'half.example', 'AAAA', '2001:db8::8'],
    ['a failure for AAAA (§5.1.2)', NAT64, 'broken.example', 'AAAA', '64:ff9b::102:304'],
    ['a failure for both (§5.1.6)', NAT64, 'worse.example', 'AAAA', 'rcode 5'],
    ['no answer at all', NAT64, 'mute.example', 'AAAA', 'rcode 2'],
    ['an alias (§5.1.5)', NAT64, 'alias.example', 'AAAA', 'v4.example 64:ff9b::102:304'],
    ['ipv4only.arpa (RFC 8880)', NAT64, 'ipv4only.arpa', 'A', '192.0.0.170 192.0.0.171'],
    ['... and its prefix', NAT64, 'ipv4only.arpa', 'AAAA', '64:ff9b::c000:aa 64:ff9b::c000:ab'],
    [
      '... that is for all addresses',
      NAT64_PRIVATE,
      'ipv4only.arpa',
      'AAAA',
      '64:ff9b:1::c000:aa 64:ff9b:1::c000:ab',
    ],
    ['... and nothing else', NAT64, 'ipv4only.arpa', 'TXT', 'nodata'],
    ['... nor below', NAT64, 'x.ipv4only.arpa', 'AAAA', 'nxdomain'],
    ['its reverse name', NAT64, '170.0.0.192.in-addr.arpa', 'PTR', 'ipv4only.arpa'],
  ];
  for (const [what, policy, name, type, expected] of ROWS) {
    it(`${what}: ${name} ${type}`, () => assert.equal(said(run(policy, name, type)), expected));
  }

  it('ipv4only.arpa is not asked for, and without NAT64 it is a name like others', () => {
    assert.deepEqual(run(NAT64, 'ipv4only.arpa', 'AAAA').asked, []);
    assert.deepEqual(run(ALL, 'ipv4only.arpa', 'AAAA').asked, ['ipv4only.arpa AAAA']);
  });

  it('A records are asked for only where AAAA records lack', () => {
    assert.deepEqual(run(NAT64, 'both.example', 'AAAA').asked, ['both.example AAAA']);
    assert.deepEqual(run(NAT64, 'none.example', 'AAAA').asked, ['none.example AAAA']);
    assert.deepEqual(run(NAT64, 'mute.example', 'AAAA').asked, ['mute.example AAAA']);
    assert.deepEqual(run(NAT64, 'v4.example', 'AAAA').asked, ['v4.example AAAA', 'v4.example A']);
  });

  const ttls = (result: Result): (number | undefined)[] =>
    (unpack(reply(result)).answers ?? []).map((one) => ('ttl' in one ? one.ttl : undefined));

  it('TTLs are those of A records, but no longer than the absence of AAAA (§5.1.7)', () => {
    assert.deepEqual(ttls(run(NAT64, 'v4.example', 'AAAA')), [60, 30]);
  });

  it('TTLs without an SOA are at most 600 s (§5.1.7)', () => {
    assert.deepEqual(ttls(run(NAT64, 'broken.example', 'AAAA')), [600]);
  });

  it('a client that validates gets what there is (§5.5)', () => {
    const validating = { flags: FLAG_RD | FLAG_CD, udpSize: 1232, dnssecOk: true };
    assert.equal(said(run(NAT64, 'v4.example', 'AAAA', validating)), 'nodata');
    for (const options of [
      { flags: FLAG_RD | FLAG_CD },
      { udpSize: 1232, dnssecOk: true },
    ] satisfies QueryOptions[]) {
      assert.match(said(run(NAT64, 'v4.example', 'AAAA', options)), /^64:ff9b::102:304/);
    }
  });

  it('what is made has no signature, and no AD (§5.5)', () => {
    const dns: Dns = {
      's.example A': {
        flags: 0x180 | FLAG_AD,
        answers: [a('s.example', '1.2.3.4'), rrsig('s.example', 'A')],
      },
    };
    const options = { udpSize: 1232, dnssecOk: true };
    const bytes = reply(run(NAT64, 's.example', 'AAAA', options, dns));
    assert.deepEqual(
      unpack(bytes).answers?.map(({ type }) => type),
      ['AAAA'],
    );
    assert.equal(flagsOf(bytes) & FLAG_AD, 0);
    assert.equal(unpack(bytes).additionals?.[0]?.type, undefined);
  });

  it('a truncated answer is passed on, for the client to ask over TCP', () => {
    const dns: Dns = { 't.example AAAA': { flags: 0x180 | FLAG_TC } };
    const result = run(NAT64, 't.example', 'AAAA', {}, dns);
    assert.deepEqual(result.asked, ['t.example AAAA']);
    assert.notEqual(flagsOf(reply(result)) & FLAG_TC, 0);
  });

  it('names of ours are translated too, but for the networks of guests', () => {
    const names = new LocalNames({ gateway: [], host: [], zones: [] });
    names.setHosts(parseHosts('1.2.3.4 pinned.lan\n192.168.127.9 guest.lan\n'));
    assert.equal(said(run(NAT64, 'pinned.lan', 'AAAA', {}, {}, names)), '64:ff9b::102:304');
    assert.equal(said(run(NAT64_PRIVATE, 'guest.lan', 'AAAA', {}, {}, names)), 'nodata');
  });

  const reverse = (nibbles: string): string =>
    `${nibbles}.${'0.'.repeat(16)}b.9.f.f.4.6.0.0.ip6.arpa`;
  const POINTERS: readonly (readonly [string, string, string])[] = [
    ['an alias of that of the IPv4 address', '4.0.3.0.2.0.1.0', '4.3.2.1.in-addr.arpa v4.example'],
    ['none where that has none', '5.0.3.0.2.0.1.0', 'nxdomain'],
    ['none for what is not translated', '1.0.0.0.0.0.f.7', 'nxdomain'],
  ];
  for (const [what, nibbles, expected] of POINTERS) {
    it(`reverse names in its prefix (§5.3.1): ${what}`, () => {
      assert.equal(said(run(NAT64, reverse(nibbles), 'PTR')), expected);
    });
  }

  it('reverse names in its prefix: what leads to names exists', () => {
    assert.equal(said(run(NAT64, reverse('2.0.1.0'), 'PTR')), 'nodata');
    assert.equal(said(run(NAT64, reverse('4.0.3.0.2.0.1.0'), 'AAAA')), 'nodata');
  });

  it('never throws on replies of any bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.constantFrom(NO_IPV6, NO_IPV4, NAT64, NAT64_ALONE),
        fc.constantFrom<RecordType[]>('A', 'AAAA', 'PTR', 'MX'),
        (tail, policy, type) => {
          const asked = query('v4.example', type);
          const bytes = Uint8Array.from([...replyBytes(asked.bytes), ...tail]);
          for (const at of [7, 9, 11]) bytes[at] = (tail[at] ?? 0) & 3;
          let replies = 0;
          answerGuest(
            asked,
            policy,
            (_one, found) => found(bytes, 'dns'),
            () => replies++,
          );
          assert.equal(replies, 1);
        },
      ),
    );
  });
});

describe('messages written anew', () => {
  it('are what they were, but for what was left out', () => {
    const label = fc.stringMatching(/^[a-z0-9]{1,12}$/);
    const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
    const record = fc.oneof(
      fc.tuple(name, fc.nat(255)).map(([n, x]) => a(n, `1.2.3.${x}`)),
      fc.tuple(name, name).map(([n, data]): Answer => ({ type: 'CNAME', name: n, ttl: 9, data })),
      fc.tuple(name, name).map(
        ([n, exchange]): Answer => ({
          type: 'MX',
          name: n,
          ttl: 9,
          data: { preference: 1, exchange },
        }),
      ),
      name.map((n): Answer => soa(n, 60, 60)),
      name.map((n): Answer => ({ type: 'TXT', name: n, ttl: 9, data: [Buffer.from('x')] })),
    );
    fc.assert(
      fc.property(name, fc.array(record, { maxLength: 6 }), (asked, answers) => {
        const dns: Dns = {
          [`${asked} AAAA`]: {
            answers: [...answers, aaaa(asked, '2001:db8::1')],
            authorities: [soa(asked, 1, 1)],
          },
        };
        const { answers: kept } = decode(Buffer.from(reply(run(NO_IPV6, asked, 'AAAA', {}, dns))));
        const plain = replyBytes(query(asked).bytes, { answers });
        assert.deepEqual(kept, unpack(plain).answers);
      }),
    );
  });
});
