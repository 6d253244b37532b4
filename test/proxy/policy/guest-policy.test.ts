import assert from 'node:assert/strict';
import { Counters } from '../../../src/base/counters.ts';
import { setWords } from '../../../src/base/ip-address.ts';
import { readPolicy } from '../../../src/network/policy/policy-document.ts';
import type {
  Block,
  Destination,
  DestinationProtocol,
} from '../../../src/proxy/flows/destination.ts';
import { Destinations } from '../../../src/proxy/flows/destinations.ts';
import { GuestNames } from '../../../src/proxy/flows/guest-names.ts';
import { DnsPolicy } from '../../../src/proxy/policy/dns-policy.ts';
import { GuestPolicy } from '../../../src/proxy/policy/guest-policy.ts';
import { parsePrefix } from '../../../src/services/address-text.ts';
import { dnsRcode, NOERROR, NXDOMAIN, readQuery } from '../../../src/services/dns/message.ts';
import { PolicyEngine } from '../../../src/services/policy/policy-engine.ts';
import type { Claim } from '../../../src/services/sniff/reader.ts';
import { a, queryBytes, replyBytes } from '../../services/dns/dns-wire.ts';
import { testGuest } from '../../support/test-guest.ts';
import { addressMap, ip } from '../recording.ts';

const subnet6 = parsePrefix('fd12:3456::/64');
assert.ok(subnet6);

/** A policy, what asks it, and a guest. */
function world(document: object, hosts: readonly string[] = []) {
  const names = new GuestNames();
  const guest = testGuest();
  const policy = new GuestPolicy({
    clock: { now: () => 0 },
    names,
    namesOf: (owner) => (owner === guest ? ['build'] : []),
    isHost: (address) => hosts.includes(address.toString()),
    isPublished: (protocol, port) => protocol === 'tcp' && port === 8080,
    translation: { hostPrefix: { address: ip('2001:db8:64::'), bits: 96 } },
    isGiven: (name, address) => name === 'given.x.test' && `${address}` === '10.0.0.5',
  });
  const facts = { isRegistry: () => false, isShared: () => false };
  const { rules } = readPolicy(document, {
    ...{ facts, instantOf: (epochMs: number) => epochMs, unbound: new Set<string>() },
    hosts: ['192.168.127.254'],
  });
  policy.replace(PolicyEngine.of(rules));
  const blocks: Block[] = [];
  const destinations = new Destinations({
    addresses: addressMap({ subnet6, gateway6: ip('fd12:3456::1'), host6: ip('fd12:3456::fe') }),
    isOwnListener: () => false,
    refusals: new Counters<string>(),
    onBlock: (block) => blocks.push(block),
    policy,
  });
  const learn = (name: string, address: string): void =>
    names.learn(0, guest, replyBytes(queryBytes(name), { answers: [a(name, address, 60)] }));
  const decide = (
    to: string,
    port = 443,
    protocol: DestinationProtocol = 'tcp',
    owner = guest,
  ): Destination => {
    const words = new Int32Array(4);
    setWords(words, ip(to));
    return destinations.decide(owner, protocol, words, 0, port);
  };
  const answer = (...args: Parameters<typeof decide>): string => {
    const to = decide(...args);
    return to.kind === 'refused' ? to.answer : 'may';
  };
  const service = (port: number): string | undefined => {
    const words = new Int32Array(4);
    setWords(words, ip('192.168.127.1'));
    return destinations.refusesService(guest, 'tcp', words, 0, port);
  };
  const opensTarget = (to: string, port: number): boolean =>
    destinations.opensTarget(guest, 'tcp', ip(to), port, 'agent');
  return { policy, names, guest, blocks, learn, decide, answer, service, opensTarget };
}

const rules = (...list: readonly object[]): object => ({ default: 'deny', rules: list });

const checkOf = (to: Destination): unknown => ('check' in to ? to.check : undefined);

describe('proxy/policy', () => {
  it('without a policy everything may go', () => {
    const { policy, answer, service } = world({ default: 'deny' });
    policy.replace(undefined);
    assert.equal(answer('192.0.2.1'), 'may');
    assert.equal(service(80), undefined);
  });

  it('each action has its answer, and what is refused is counted and shown with its rule', () => {
    const { answer, blocks, guest, policy } = world(
      rules(
        { reject: { port: 1 } },
        { drop: { port: 2 } },
        { deny: { port: 3 } },
        { allow: { port: 4 } },
      ),
    );
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((port) => answer('192.0.2.1', port)),
      ['refused', 'none', 'prohibited', 'may', 'prohibited'],
    );
    assert.deepEqual(
      blocks.map(({ rule, why, port }) => `${why} ${port} ${rule}`),
      ['policy 1 reject *:1', 'policy 2 drop *:2', 'policy 3 deny *:3', 'policy 5 default: deny'],
    );
    assert.deepEqual(guest.refusals.snapshot(), { 'tcp-policy': 4 });
    assert.deepEqual(policy.counts.snapshot(), { denied: 4, allowed: 1 });
  });

  it('a policy that observes refuses nothing, and shows what it would', () => {
    const { answer, blocks, policy, decide, learn } = world({
      ...rules({ allow: { name: 'a.test' } }),
      mode: 'observe',
    });
    assert.equal(answer('192.0.2.1'), 'may');
    assert.equal(blocks.length, 1);
    assert.deepEqual(policy.counts.snapshot(), { observed: 1 });
    learn('a.test', '192.0.2.2');
    assert.equal(checkOf(decide('192.0.2.2')), undefined);
  });

  it('the host, by every address that it has, by port', () => {
    const { answer } = world(
      rules({ allow: { to: 'host', port: 80 } }, { allow: { cidr: '0.0.0.0/0' } }),
      ['198.51.100.7', '10.0.0.7'],
    );
    for (const host of ['192.168.127.254', 'fd12:3456::fe', '198.51.100.7', '10.0.0.7']) {
      assert.equal(answer(host, 80), 'may', host);
      assert.equal(answer(host, 81), 'prohibited', host);
    }
    assert.equal(answer('198.51.100.8', 81), 'may');
  });

  it('the gateway is opened by its place alone, and its DNS is always there', () => {
    const closed = world(rules({ allow: { cidr: '0.0.0.0/0' } }));
    assert.equal(closed.service(80), 'prohibited');
    assert.equal(closed.service(53), undefined);
    assert.equal(closed.answer('192.168.127.1', 0, 'icmp'), 'prohibited');
    assert.equal(world(rules({ allow: { to: 'gateway' } })).service(80), undefined);
  });

  const carrying = ['64:ff9b::a00:5', '2002:a00:5::1', '2001:db8::5efe:a00:5', '::ffff:10.0.0.5'];
  for (const address of [
    ...carrying,
    '2001:db8:64::a00:5',
    '2001:0:808:808:0:0:f5ff:fffa',
    '2001:0:a00:5:0:0:f7f7:f7f7',
  ]) {
    it(`${address} carries what a rule denies`, () => {
      const denies = world({ default: 'allow', rules: [{ deny: { cidr: '10.0.0.0/8' } }] });
      assert.equal(denies.answer(address), 'prohibited');
      const internet = world({ preset: 'internet-only' });
      assert.equal(internet.answer(address), 'prohibited');
      assert.equal(internet.answer('64:ff9b::808:808'), 'may');
    });
  }

  for (const address of ['2001:db8::5efe:c000:201', 'fd00::200:5efe:c000:201']) {
    it(`${address} is opened by no rule for what it carries`, () => {
      const { answer } = world(rules({ allow: { cidr: '192.0.2.0/24' } }));
      assert.equal(answer('192.0.2.1'), 'may');
      assert.equal(answer(address), 'prohibited');
      const open = world(rules({ allow: { cidr: '192.0.2.0/24' } }, { allow: { cidr: address } }));
      assert.equal(open.answer(address), 'may');
    });
  }

  it('an address is closed by a rule for its own network in front, whatever it carries', () => {
    for (const address of ['64:ff9b::808:808', '2002:808:808::1', '2001:db8::5efe:808:808']) {
      const denies = world({ default: 'allow', rules: [{ deny: { cidr: '::/0' } }] });
      assert.equal(denies.answer(address), 'prohibited', address);
      assert.equal(denies.answer('8.8.8.8'), 'may');
    }
    const [allow, deny] = [{ allow: { cidr: '8.8.8.8' } }, { deny: { cidr: '::/0' } }];
    assert.equal(world(rules(allow, deny)).answer('64:ff9b::808:808'), 'may');
    assert.equal(world(rules(deny, allow)).answer('64:ff9b::808:808'), 'prohibited');
    const host = world({ default: 'allow', rules: [{ deny: { to: 'host' } }] }, [
      '2002:808:808::1',
    ]);
    assert.equal(host.answer('2002:808:808::1'), 'prohibited');
  });

  it('what closes the network of the address that stands for the host closes its loopback', () => {
    const [near, host] = [
      { deny: { cidr: '192.168.0.0/16' } },
      { allow: { to: 'host', port: 80 } },
    ];
    assert.equal(
      world({ default: 'allow', rules: [near] }).answer('192.168.127.254'),
      'prohibited',
    );
    assert.equal(world(rules(near, host)).answer('192.168.127.254', 80), 'prohibited');
    assert.equal(world(rules(host, near)).answer('192.168.127.254', 80), 'may');
  });

  it('a name opens what is nearby where the configuration gives it that address, and nothing else', () => {
    const byName = { allow: { name: '*.x.test', port: 443 } };
    const { learn, answer } = world(rules(byName));
    for (const name of ['given.x.test', 'other.x.test']) learn(name, '10.0.0.6');
    learn('other.x.test', '10.0.0.5');
    assert.equal(answer('10.0.0.5'), 'prohibited');
    learn('given.x.test', '10.0.0.5');
    assert.deepEqual([answer('10.0.0.5'), answer('10.0.0.5', 80)], ['may', 'prohibited']);
    assert.equal(answer('10.0.0.6'), 'prohibited');
    const near = { deny: { to: 'private' } };
    for (const [list, expected] of [
      [[near, byName], 'prohibited'],
      [[byName, near], 'may'],
    ] as const) {
      const ordered = world(rules(...list));
      ordered.learn('given.x.test', '10.0.0.5');
      assert.equal(ordered.answer('10.0.0.5'), expected);
    }
    const closed = world(rules(byName), ['10.0.0.5']);
    closed.learn('given.x.test', '10.0.0.5');
    assert.equal(closed.answer('10.0.0.5'), 'prohibited');
  });

  it('private networks of both families', () => {
    const { answer } = world({ preset: 'internet-only' });
    for (const address of ['10.1.2.3', '172.31.0.1', '192.168.1.1', '100.64.0.1', 'fd00::1']) {
      assert.equal(answer(address), 'prohibited', address);
    }
    for (const address of ['11.0.0.1', '172.32.0.1', '100.128.0.1', '2001:db8::1']) {
      assert.equal(answer(address), 'may', address);
    }
  });

  it('a port of the host that leads to a guest is opened as both', () => {
    const host = { allow: { to: 'host', port: '80,8080' } };
    const { answer, blocks } = world(rules(host));
    assert.equal(answer('192.168.127.254', 80), 'may');
    assert.equal(answer('192.168.127.254', 8080), 'prohibited');
    assert.equal(answer('192.168.127.254', 8080, 'udp'), 'may');
    assert.equal(blocks.length, 1);
    const guests = { allow: { to: 'guest', port: 8080 } };
    assert.equal(world(rules(host, guests)).answer('192.168.127.254', 8080), 'may');
    assert.equal(world(rules(guests)).answer('192.168.127.254', 8080), 'prohibited');
    assert.equal(
      world({ default: 'allow', rules: [{ reject: { to: 'guest' } }] }).answer(
        '192.168.127.254',
        8080,
      ),
      'refused',
    );
    assert.equal(world({ preset: 'internet-only' }).answer('192.168.127.254', 8080), 'prohibited');
  });

  it('targets of the multiplexer are opened by rules of addresses, and the link is a guest', () => {
    const { opensTarget, learn, blocks } = world(
      rules(
        { allow: { to: 'host', port: '5432,unix', guest: 'agent' } },
        { allow: { cidr: '10.0.0.5' } },
        { allow: { name: 'a.test' } },
      ),
    );
    learn('a.test', '192.0.2.1');
    assert.equal(opensTarget('127.0.0.1', 5432), true);
    assert.equal(opensTarget('127.0.0.1', 5433), false);
    assert.equal(opensTarget('127.0.0.1', 0), true);
    assert.equal(opensTarget('10.0.0.5', 22), true);
    assert.equal(opensTarget('10.0.0.6', 22), false);
    assert.equal(opensTarget('192.0.2.1', 443), false);
    assert.equal(blocks.length, 3);
    assert.equal(
      world(rules({ allow: { to: 'host', port: 5432 } })).opensTarget('127.0.0.1', 0),
      false,
    );
  });

  it('what is denied is listed, and what would be', () => {
    const { answer, policy, guest, learn } = world(rules({ allow: { to: 'host', port: 80 } }));
    learn('a.test', '192.0.2.1');
    for (let n = 0; n < 3; n++) answer('192.0.2.1');
    assert.ok(policy.engine);
    assert.ok(policy.denyName(policy.engine, guest, 'b.test', 'deny b.test', true));
    policy.replace(PolicyEngine.of({ byDefault: 'deny', mode: 'observe', rules: [] }));
    answer('192.0.2.2', 53, 'udp');
    assert.deepEqual(
      policy.denials
        .list(guest)
        .map(({ count, attempt: { protocol, name, port, place, why, isObserved } }) => [
          ...[count, protocol, name, port, place, why, isObserved],
        ]),
      [
        [3, 'tcp', 'a.test', 443, 'outside', 'default: deny', false],
        [1, 'dns', 'b.test', 0, undefined, 'deny b.test', false],
        [1, 'udp', undefined, 53, 'outside', 'default: deny', true],
      ],
    );
  });

  it('rules for a guest are for what it cannot say of itself', () => {
    const { answer } = world(rules({ allow: { guest: 'build' } }));
    assert.equal(answer('192.0.2.1'), 'may');
    assert.equal(answer('192.0.2.1', 443, 'tcp', testGuest()), 'prohibited');
  });

  describe('a flow that a name has allowed', () => {
    const claim = (name: string | undefined): Claim => ({ by: 'tls', name, hello: undefined });
    const opened = (document: object) => {
      const all = world(document);
      for (const name of ['a.test', 'b.test', 'a.x.test']) all.learn(name, '192.0.2.1');
      const to = all.decide('192.0.2.1');
      assert.ok(to.kind === 'outside' && to.check !== undefined);
      return { ...all, check: to.check, verdict: to.verdict };
    };

    it('is held to the names by which its address was found, and to the rules', () => {
      const { check, verdict, blocks, policy } = opened(
        rules(
          { allow: { name: '*.x.test', port: 443 } },
          {
            allow: { name: 'c.test' },
          },
        ),
      );
      assert.equal(verdict?.stated, undefined);
      assert.equal(check.onClaim(claim('a.x.test')), undefined);
      assert.equal(verdict?.stated, 'a.x.test');
      assert.match(check.onClaim(claim('b.x.test')) ?? '', /was not looked up/);
      assert.match(check.onClaim(claim(undefined)) ?? '', /no name is stated/);
      assert.match(check.onFault('first-bytes-late') ?? '', /first-bytes-late/);
      assert.equal(blocks.length, 3);
      assert.equal(policy.counts.snapshot()['denied-by-inspection'], 3);
    });

    it('may not go on by a name of the same address that is denied, also one that is denied later', () => {
      const { check, policy } = opened(rules({ allow: { name: 'a.test' } }));
      assert.match(check.onClaim(claim('b.test')) ?? '', /b\.test: default: deny/);
      assert.equal(check.onClaim(claim('a.test')), undefined);
      policy.replace(PolicyEngine.of({ byDefault: 'deny', mode: 'enforce', rules: [] }));
      assert.match(check.onClaim(claim('a.test')) ?? '', /default: deny/);
      policy.replace(undefined);
      assert.equal(check.onClaim(claim('c.test')), undefined);
    });

    it('need not state it where the rule says so', () => {
      const { check } = opened(rules({ allow: { name: 'a.test', sni: 'optional' } }));
      assert.equal(check.onClaim(claim(undefined)), undefined);
    });

    describe('and rules allow without a name', () => {
      for (const [why, document] of [
        [
          'by a network behind the name',
          rules({ allow: { name: 'a.test' } }, { allow: { cidr: '192.0.2.0/24' } }),
        ],
        ['by default', { default: 'allow', rules: [{ allow: { name: 'a.test' } }] }],
      ] as const) {
        it(`${why}: goes on where nothing can be read, as allowed by its address`, () => {
          const { check, verdict, blocks, policy } = opened(document);
          for (const fault of ['quic-unreadable', 'tls-malformed', 'first-bytes-late'] as const) {
            assert.equal(check.onFault(fault), undefined, fault);
          }
          assert.deepEqual(verdict?.allStated, ['192.0.2.1']);
          assert.deepEqual(blocks, []);
          policy.replace(PolicyEngine.of({ byDefault: 'deny', mode: 'enforce', rules: [] }));
          assert.match(check.onFault('truncated') ?? '', /^truncated: .* is for a name$/);
          policy.replace(undefined);
          assert.equal(check.onFault('truncated'), undefined);
        });

        it(`${why}: goes on by any name, and by none`, () => {
          const { check, verdict, blocks } = opened(document);
          for (const name of ['192.0.2.1', 'b.x.test', 'b.test', undefined]) {
            assert.equal(check.onClaim(claim(name)), undefined, name);
          }
          assert.equal(verdict?.stated, 'b.test');
          assert.deepEqual(blocks, []);
        });
      }

      it('ends by a name that a rule denies', () => {
        const { check } = opened({
          default: 'allow',
          rules: [{ allow: { name: 'a.test' } }, { deny: { name: '*.evil.test' } }],
        });
        assert.match(check.onClaim(claim('x.evil.test')) ?? '', /was not looked up/);
      });

      it('counts from then on as allowed by its address, and by no name', () => {
        for (const name of ['c.test', undefined]) {
          const { check, verdict } = opened(
            rules({ allow: { name: 'a.test' } }, { allow: { cidr: '192.0.2.0/24' } }),
          );
          assert.equal(check.onClaim(claim(name)), undefined);
          assert.deepEqual(verdict?.allStated, ['192.0.2.1']);
        }
      });
    });

    it('is checked by nothing where a network allows it, nor as a ping', () => {
      const all = world(
        rules({ allow: { cidr: '192.0.2.0/24', port: 443 } }, { allow: { name: 'a.test' } }),
      );
      all.learn('a.test', '192.0.2.1');
      assert.equal(checkOf(all.decide('192.0.2.1')), undefined);
      assert.ok(checkOf(all.decide('192.0.2.1', 80)));
      assert.equal(checkOf(all.decide('192.0.2.1', 0, 'icmp')), undefined);
    });
  });

  describe('the resolver', () => {
    const ourselves = testGuest();
    const asked = (
      document: object,
      name: string,
      type = 'A',
      owner?: typeof ourselves,
    ): number | 'asks' => {
      const { policy, guest } = world(document);
      const query = readQuery(queryBytes(name, type as 'A'));
      assert.ok(typeof query === 'object');
      const dns = new DnsPolicy({ policy, addresses: addressMap(), ourselves });
      const reply = dns.refusal(owner ?? guest, query, 0);
      return reply === undefined ? 'asks' : dnsRcode(reply);
    };
    const allow = rules(
      { allow: { name: 'a.test' } },
      { allow: { name: '*.w.test', guest: 'build' } },
    );

    it('asks for what is allowed, and answers the rest itself', () => {
      assert.equal(asked(allow, 'a.test'), 'asks');
      assert.equal(asked(allow, 'x.w.test', 'TXT'), 'asks');
      assert.equal(asked(allow, 'x.w.test', 'A', testGuest()), NXDOMAIN);
      assert.equal(asked(allow, 'w.test'), NOERROR);
      assert.equal(asked(allow, 'evil.test'), NXDOMAIN);
      assert.equal(asked(allow, 'a.test', 'NULL'), NOERROR);
      assert.equal(asked(allow, '1.2.0.192.in-addr.arpa', 'PTR'), NXDOMAIN);
      assert.equal(asked(allow, 'evil.test', 'A', ourselves), 'asks');
    });

    it('where the default allows: all but what is denied', () => {
      const document = { default: 'allow', rules: [{ deny: { name: '*.evil.test' } }] };
      assert.equal(asked(document, 'x.evil.test'), NXDOMAIN);
      assert.equal(asked(document, 'evil.test'), 'asks');
      assert.equal(asked(document, '1.2.0.192.in-addr.arpa', 'PTR'), 'asks');
      assert.equal(asked(document, 'a.test', 'NULL'), 'asks');
    });
  });
});
