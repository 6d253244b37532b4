import assert from 'node:assert/strict';
import type { Answer, RecordType } from 'dns-packet';
import { readPolicy } from '../../../src/network/policy/policy-document.ts';
import { GuestNames } from '../../../src/proxy/flows/guest-names.ts';
import { DnsPolicy } from '../../../src/proxy/policy/dns-policy.ts';
import { GuestPolicy } from '../../../src/proxy/policy/guest-policy.ts';
import { NEW_NAMES_A_MINUTE } from '../../../src/proxy/policy/new-names.ts';
import { addressAnswers } from '../../../src/services/dns/address-answers.ts';
import {
  FLAG_AD,
  NOERROR,
  NXDOMAIN,
  readQuery,
  SERVFAIL,
} from '../../../src/services/dns/message.ts';
import { PolicyEngine } from '../../../src/services/policy/policy-engine.ts';
import type { Guest } from '../../../src/stack/guest.ts';
import {
  a,
  aaaa,
  dataOf,
  flagsOf,
  HTTPS,
  https,
  query,
  queryBytes,
  rcodeOf,
  replyBytes,
  unpack,
} from '../../services/dns/dns-wire.ts';
import { wordsBeside } from '../../services/dns/words-beside.ts';
import { testGuest } from '../../support/test-guest.ts';
import { addressMap, ip, SIX } from '../recording.ts';

const NAME = 'a.test';
const HOST_PUBLIC = '198.51.100.7';
const PUBLIC = '192.0.2.1';
const EDNS = { udpSize: 1232 };

const allow = (...list: readonly object[]): object => ({
  default: 'deny',
  rules: [{ allow: { name: NAME } }, ...list],
});

/** @param called what rules may call a guest */
function world(document: object, called: (owner: Guest) => readonly string[] = () => []) {
  const guest = testGuest();
  const ourselves = testGuest();
  const names = new GuestNames();
  const hosts = new Set([HOST_PUBLIC]);
  const policy = new GuestPolicy({
    clock: { now: () => 0 },
    names,
    namesOf: called,
    isHost: (address) => hosts.has(`${address}`),
    isPublished: () => false,
    translation: { hostPrefix: { address: ip('2001:db8:64::'), bits: 96 } },
  });
  policy.replace(engineOf(document));
  const dns = new DnsPolicy({ policy, addresses: addressMap(SIX), ourselves });
  const get = (answers: Answer[], type: RecordType = 'A', owner = guest, flags = 0x180) =>
    dns.police(
      owner,
      query(NAME, type, EDNS),
      replyBytes(queryBytes(NAME, type, EDNS), { answers, flags }),
      nobody(),
    );
  return { dns, guest, ourselves, names, policy, hosts, get };
}

function engineOf(document: object): PolicyEngine {
  const facts = { isRegistry: () => false, isShared: () => false };
  const { rules } = readPolicy(document, {
    ...{ facts, instantOf: (epochMs: number) => epochMs, unbound: new Set<string>() },
    hosts: [],
  });
  return PolicyEngine.of(rules);
}

/** Nobody follows. */
const nobody = () => ({ isDenied: false });

const addressesOf = (reply: Uint8Array): readonly string[] =>
  (addressAnswers(reply)?.addresses ?? []).map(({ address }) => address.toString());
const textOf = (reply: Uint8Array): string => Buffer.from(reply).toString('latin1');

describe('proxy/policy: the resolver', () => {
  const NEAR4 = [
    ...['10.0.0.9', '172.16.1.1', '192.168.1.1', '100.64.0.1', '169.254.169.254', '127.0.0.1'],
    ...['127.0.0.2', '0.0.0.0', '224.0.0.1', '255.255.255.255', HOST_PUBLIC, '100.100.100.200'],
    ...['192.168.127.1', '192.168.127.254', '192.168.127.2'],
  ];
  const NEAR6 = [
    ...[
      '::',
      '::1',
      'fc00::1',
      'fe80::1',
      'fec0::1',
      'fd12:3456::1',
      'fd00:ec2::254',
      '::ffff:10.0.0.1',
    ],
    ...['64:ff9b::10.0.0.1', '64:ff9b::127.0.0.1', '64:ff9b::198.51.100.7'],
    ...['2002:a00:1::1', '2001:0:a00:1::1', '2001:db8:64::10.0.0.1'],
  ];
  for (const near of [...NEAR4, ...NEAR6]) {
    it(`an answer does not lead to ${near}`, () => {
      const { get } = world(allow());
      const is6 = near.includes(':');
      const of = (address: string): Answer => (is6 ? aaaa(NAME, address) : a(NAME, address));
      const type = is6 ? 'AAAA' : 'A';
      const reply = get([of(near)], type);
      assert.equal(rcodeOf(reply), NOERROR);
      assert.deepEqual(addressesOf(reply), []);
      assert.match(textOf(reply), /addresses are of the host or of private networks/);
      const [soa] = unpack(reply).authorities ?? [];
      assert.ok(soa?.type === 'SOA' && (soa.ttl ?? 9) <= 5);
      const far = is6 ? '2001:db8::1' : PUBLIC;
      assert.deepEqual(addressesOf(get([of(near), of(far)], type)), [far]);
    });
  }

  const DENIES_NAME = { default: 'allow', rules: [{ deny: { name: 'evil.test' } }] };
  for (const [document, isPlain] of [
    [{ default: 'deny' }, true],
    [DENIES_NAME, true],
    [{ default: 'allow', rules: [{ reject: { guest: 'g' } }] }, true],
    [{ ...DENIES_NAME, mode: 'observe' }, false],
    [{ default: 'allow', rules: [{ deny: { cidr: '10.0.0.0/8' } }] }, false],
    [{ default: 'allow', rules: [{ deny: { port: 25 } }] }, false],
  ] as const) {
    it(`nothing but the question leaves, where names are denied: ${JSON.stringify(document)}`, () => {
      const { dns } = world(document);
      const [, message = Buffer.of()] = wordsBeside(NAME)[0] ?? [];
      const asked = readQuery(message);
      assert.ok(typeof asked !== 'string');
      assert.equal(textOf(dns.sent(asked)).includes('secret'), !isPlain);
      assert.equal(dns.refusesUnreadable, isPlain);
    });
  }

  for (const [what, answers, isDenied] of [
    ['an address that it may be led to', [a(NAME, PUBLIC)], false],
    ['one of several', [a(NAME, PUBLIC), a(NAME, '10.0.0.9')], false],
    ['none', [a(NAME, '10.0.0.9')], true],
    ['a denied alias', [{ type: 'CNAME', name: NAME, data: 'evil.test' }], true],
  ] as const) {
    it(`what is denied in an answer is told as such: ${what}`, () => {
      const { dns, guest } = world(allow({ deny: { name: 'evil.test' } }));
      const trace = nobody();
      const reply = replyBytes(queryBytes(NAME), { answers: [...answers] });
      dns.police(guest, query(NAME), reply, trace);
      assert.equal(trace.isDenied, isDenied);
    });
  }

  for (const [document, why] of [
    [{ default: 'allow', rules: [{ deny: { name: NAME } }] }, `deny ${NAME}`],
    [{ default: 'deny' }, 'no rule of names allows that it is asked for'],
  ] as const) {
    it(`a denied name is listed with the rule, if one denies it: ${why}`, () => {
      const { dns, guest, policy } = world(document);
      const reply = dns.refusal(guest, query(NAME, 'A', EDNS), 0);
      assert.ok(reply !== undefined && rcodeOf(reply) === NXDOMAIN);
      const [denial] = policy.denials.list(guest);
      assert.deepEqual([denial?.attempt.why, denial?.attempt.isRuled], [why, true]);
    });
  }

  it('unless a rule of addresses, or of the place, opens it', () => {
    const opened = (rule: object, address: string): boolean =>
      addressesOf(world(allow(rule)).get([a(NAME, address)])).length === 1;
    assert.ok(opened({ allow: { cidr: '10.0.0.0/8', port: 443 } }, '10.0.0.9'));
    assert.ok(!opened({ allow: { cidr: '10.0.0.0/8' } }, '172.16.0.1'));
    assert.ok(opened({ allow: { to: 'private' } }, '172.16.0.1'));
    assert.ok(opened({ allow: { to: 'private', name: NAME } }, '172.16.0.1'));
    assert.ok(!opened({ allow: { to: 'private', name: 'b.test' } }, '172.16.0.1'));
    assert.ok(opened({ allow: { to: 'host', port: 80 } }, HOST_PUBLIC));
    assert.ok(!opened({ allow: { cidr: `${HOST_PUBLIC}/32` } }, HOST_PUBLIC));
    assert.ok(!opened({ allow: { cidr: '127.0.0.0/8' } }, '127.0.0.1'));
    const first = { deny: { cidr: '10.0.0.0/24' } };
    const document = { default: 'deny', rules: [first, { allow: { cidr: '10.0.0.0/8' } }] };
    assert.deepEqual(addressesOf(world(document).get([a(NAME, '10.0.0.9')])), []);
    assert.deepEqual(addressesOf(world(document).get([a(NAME, '10.0.1.9')])), ['10.0.1.9']);
  });

  it('or the default does: a guest may dial it as well; but what a rule closes stays closed', () => {
    const { get } = world({ default: 'allow', rules: [{ deny: { cidr: '10.0.0.0/8' } }] });
    assert.deepEqual(addressesOf(get([a(NAME, '172.16.0.1')])), ['172.16.0.1']);
    assert.deepEqual(addressesOf(get([a(NAME, '10.0.0.9')])), []);
    assert.deepEqual(addressesOf(get([a(NAME, '127.0.0.1')])), []);
  });

  it('without a policy, and where it observes, always', () => {
    const document = { default: 'deny', rules: [{ allow: { name: NAME } }] };
    const { get, policy } = world(document);
    const watched = world({ ...document, mode: 'observe' });
    assert.deepEqual(addressesOf(watched.get([a(NAME, '10.0.0.9')])), ['10.0.0.9']);
    policy.replace(undefined);
    assert.deepEqual(addressesOf(get([a(NAME, '10.0.0.9')])), ['10.0.0.9']);
    const own = world(allow());
    assert.deepEqual(addressesOf(own.get([a(NAME, '10.0.0.9')], 'A', own.ourselves)), ['10.0.0.9']);
  });

  it('of hints of HTTPS records those that lead far, without ech, AD and signatures', () => {
    const { get } = world(allow());
    const signature: Answer = {
      type: 'RRSIG',
      name: NAME,
      ttl: 300,
      data: {
        ...{ typeCovered: HTTPS, algorithm: 8, labels: 2, originalTTL: 300, expiration: 2 },
        ...{ inception: 1, keyTag: 1, signersName: 'test', signature: Buffer.of(1) },
      },
    };
    const near = get([https(NAME, '10.0.0.9', 'fc00::1')], HTTPS);
    assert.deepEqual([addressesOf(near), unpack(near).answers?.length], [[], 1]);
    const far = https(NAME, PUBLIC, '2001:db8::1');
    assert.deepEqual(addressesOf(get([far], HTTPS)), [PUBLIC, '2001:db8::1']);
    const data = Buffer.concat([
      Buffer.of(0, 1, 0, 0, 4, 0, 12, 10, 0, 0, 1, 192, 0, 2, 1, 127, 0, 0, 1),
      Buffer.of(0, 5, 0, 3, 9, 9, 9),
    ]);
    const ech: Answer = { type: HTTPS as 'NULL', name: NAME, ttl: 300, data };
    const reply = get([ech, signature], HTTPS, undefined, 0x180 | FLAG_AD);
    assert.deepEqual(addressesOf(reply), [PUBLIC]);
    assert.equal(unpack(reply).answers?.length, 1);
    assert.equal(flagsOf(reply) & FLAG_AD, 0);
    assert.doesNotMatch(textOf(reply), /\t\t\t/);
    const whole = get([far, signature], HTTPS, undefined, 0x180 | FLAG_AD);
    assert.equal(unpack(whole).answers?.length, 2);
    assert.equal(flagsOf(whole) & FLAG_AD, FLAG_AD);
  });

  it('an alias may deny, and never grants', () => {
    const chain: Answer[] = [
      { type: 'CNAME', name: NAME, ttl: 60, data: 'cdn.evil.test' },
      a('cdn.evil.test', PUBLIC),
    ];
    assert.deepEqual(dataOf(world(allow()).get(chain)), ['cdn.evil.test', PUBLIC]);
    const reply = world(allow({ deny: { name: '*.evil.test' } })).get(chain);
    assert.equal(rcodeOf(reply), NXDOMAIN);
    assert.match(textOf(reply), /an alias of cdn\.evil\.test: deny \*\.evil\.test/);
  });

  it('an answer that cannot be read is none', () => {
    const { dns, guest } = world(allow());
    const cut = replyBytes(queryBytes(NAME), { answers: [a(NAME, PUBLIC)] }).subarray(0, -1);
    assert.equal(rcodeOf(dns.police(guest, query(NAME), cut, nobody())), SERVFAIL);
  });

  it('pointers are asked for of addresses that this guest was given', () => {
    const { dns, guest, names } = world(allow());
    const pointer = query('1.2.0.192.in-addr.arpa', 'PTR');
    const refused = dns.refusal(guest, pointer, 0);
    assert.ok(refused);
    assert.equal(rcodeOf(refused), NXDOMAIN);
    names.learn(0, guest, replyBytes(queryBytes(NAME), { answers: [a(NAME, PUBLIC)] }));
    assert.equal(dns.refusal(guest, pointer, 0), undefined);
    assert.ok(dns.refusal(testGuest(), pointer, 0));
    assert.ok(dns.refusal(guest, query('2.0.192.in-addr.arpa', 'PTR'), 0));
    assert.ok(dns.refusal(guest, query('x.1.2.0.192.in-addr.arpa', 'PTR'), 0));
  });

  it('the error names the rule, bounded, where the query has EDNS', () => {
    const { dns, guest } = world({ default: 'deny', rules: [{ deny: { name: 'b.test' } }] });
    const said = (name: string, options = {}): string =>
      textOf(dns.refusal(guest, query(name, 'A', options), 0) ?? new Uint8Array(0));
    assert.match(said('b.test', EDNS), /does not allow it: deny b\.test$/);
    assert.match(said('c.test', EDNS), /does not allow it: default: deny$/);
    assert.doesNotMatch(said('c.test'), /allow/);
    const long = world({ default: 'deny', rules: [{ deny: { port: 1, name: 'c.test' } }] });
    assert.ok((long.dns.refusal(guest, query('c.test', 'A', EDNS), 0)?.length ?? 0) < 512);
  });

  it('new names are asked for at a rate', () => {
    const { dns, guest, ourselves } = world(allow());
    const isAsked = (name: string, now: number, owner = guest): boolean =>
      dns.excess(owner, query(name, 'A', EDNS), now) === undefined;
    for (let i = 0; i < NEW_NAMES_A_MINUTE; i++) assert.ok(isAsked(`${i}.w.test`, 0));
    assert.ok(!isAsked('x.w.test', 0));
    assert.ok(isAsked('1.w.test', 0), 'one that it knows');
    assert.ok(isAsked('x.w.test', 0, testGuest()), 'another guest');
    assert.ok(isAsked('x.w.test', 0, ourselves));
    assert.ok(isAsked('x.w.test', 60_000 / NEW_NAMES_A_MINUTE));
    assert.ok(!isAsked('y.w.test', 60_000 / NEW_NAMES_A_MINUTE));
    const reply = dns.excess(guest, query('y.w.test', 'A', EDNS), 0);
    assert.ok(reply);
    assert.equal(rcodeOf(reply), SERVFAIL);
    assert.match(textOf(reply), /too many new names/);
  });

  describe('an answer that is kept', () => {
    /** @returns what it leads to, each time that it is asked for */
    const kept = (of: ReturnType<typeof world>, answers: Answer[]) => {
      const reply = replyBytes(queryBytes(NAME), { answers });
      const at = { mark: undefined };
      return (now = 0, owner = of.guest): readonly string[] =>
        addressesOf(of.dns.policeKept(owner, query(NAME), reply, nobody(), at, now));
    };
    const near = { allow: { cidr: '10.0.0.9', guest: 'good' } };

    it("an address that becomes one of the host's is left out within a second", () => {
      const of = world(allow());
      const get = kept(of, [a(NAME, PUBLIC)]);
      assert.deepEqual([get(), get(10)], [[PUBLIC], [PUBLIC]]);
      of.hosts.add(PUBLIC);
      assert.deepEqual(get(1_000), []);
    });

    it('by another policy, which denies what it is an alias of, at once', () => {
      const of = world(allow());
      const alias: Answer = { type: 'CNAME', name: NAME, data: 'evil.test' };
      const get = kept(of, [alias, a('evil.test', PUBLIC)]);
      assert.deepEqual([get(), get()], [[PUBLIC], [PUBLIC]]);
      of.policy.replace(engineOf(allow({ deny: { name: 'evil.test' } })));
      assert.deepEqual(get(), []);
    });

    it('is for each guest by its own rules', () => {
      const isGood = (owner: Guest): readonly string[] => [owner === of.guest ? 'good' : 'other'];
      const of = world(allow(near), isGood);
      const get = kept(of, [a(NAME, '10.0.0.9')]);
      const other = testGuest();
      for (const _again of [1, 2]) assert.deepEqual([get(), get(0, other)], [['10.0.0.9'], []]);
    });

    it('an alias that one guest may not use', () => {
      const isGood = (owner: Guest): readonly string[] => [owner === of.guest ? 'good' : 'other'];
      const of = world(allow({ deny: { name: 'evil.test', guest: 'other' } }), isGood);
      const alias: Answer = { type: 'CNAME', name: NAME, data: 'evil.test' };
      const get = kept(of, [alias, a('evil.test', PUBLIC)]);
      for (const _again of [1, 2]) assert.deepEqual([get(), get(0, testGuest())], [[PUBLIC], []]);
    });

    it('what hawser itself may have, guests may not for that', () => {
      const of = world(allow());
      const get = kept(of, [a(NAME, '10.0.0.9')]);
      assert.deepEqual([get(0, of.ourselves), get()], [['10.0.0.9'], []]);
    });
  });

  describe('a name that was allowed is asked for again', () => {
    const isAsked = (of: ReturnType<typeof world>, now = 0, type: RecordType = 'A'): boolean =>
      of.dns.refusal(of.guest, query(NAME, type, EDNS), now) === undefined;

    it('by another policy, not any more', () => {
      const of = world(allow());
      assert.deepEqual([isAsked(of), isAsked(of), isAsked(of, 0, 'NULL')], [true, true, false]);
      of.policy.replace(engineOf({ default: 'deny' }));
      assert.equal(isAsked(of), false);
      of.policy.replace(engineOf(allow()));
      assert.deepEqual([isAsked(of), isAsked(of)], [true, true]);
    });

    it("by another guest, by that one's rules", () => {
      const allowed = { allow: { name: NAME, guest: 'good' } };
      const document = { default: 'deny', rules: [allowed] };
      const of = world(document, (owner) => [owner === of.guest ? 'good' : 'other']);
      const other = { ...of, guest: testGuest() };
      for (const _again of [1, 2]) assert.deepEqual([isAsked(of), isAsked(other)], [true, false]);
      const denied = { deny: { guest: 'other' } };
      const late = world(
        { default: 'deny', rules: [denied, { allow: { name: NAME } }] },
        (owner) => [owner === late.guest ? 'good' : 'other'],
      );
      const otherLate = { ...late, guest: testGuest() };
      for (const _again of [1, 2]) {
        assert.deepEqual([isAsked(late), isAsked(otherLate)], [true, false]);
      }
    });

    it('when the time of its rule is over, not any more', () => {
      const until = new Date(10).toISOString();
      const of = world({ default: 'deny', rules: [{ allow: { name: NAME, until } }] });
      assert.deepEqual([isAsked(of, 0), isAsked(of, 9), isAsked(of, 10)], [true, true, false]);
      const late = world({
        default: 'allow',
        rules: [{ allow: { name: NAME, until } }, { deny: { name: NAME } }],
      });
      assert.deepEqual(
        [isAsked(late, 0), isAsked(late, 9), isAsked(late, 10)],
        [true, true, false],
      );
    });
  });
});
