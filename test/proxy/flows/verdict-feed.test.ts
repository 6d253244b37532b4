import assert from 'node:assert/strict';
import { Counters } from '../../../src/base/counters.ts';
import { setWords } from '../../../src/base/ip-address.ts';
import { readPolicy } from '../../../src/network/policy/policy-document.ts';
import { Destinations } from '../../../src/proxy/flows/destinations.ts';
import type { FlowEvent } from '../../../src/proxy/flows/flow-feed.ts';
import type { FlowGate } from '../../../src/proxy/flows/flow-gate.ts';
import { GuestNames } from '../../../src/proxy/flows/guest-names.ts';
import { VERDICTS_A_SECOND, VerdictFeed } from '../../../src/proxy/flows/verdict-feed.ts';
import { DnsPolicy } from '../../../src/proxy/policy/dns-policy.ts';
import { GuestPolicy } from '../../../src/proxy/policy/guest-policy.ts';
import { NEW_NAMES_A_MINUTE } from '../../../src/proxy/policy/new-names.ts';
import { PolicyEngine } from '../../../src/services/policy/policy-engine.ts';
import { a, query, queryBytes, replyBytes } from '../../services/dns/dns-wire.ts';
import { testGuest } from '../../support/test-guest.ts';
import { addressMap, ip, TestClock } from '../recording.ts';

const NAME = 'a.test';
const FAR = '192.0.2.1';
const DOCUMENT = {
  default: 'deny',
  rules: [{ allow: { name: NAME, port: 443 } }, { allow: { to: 'gateway' } }],
};

function world(document: object | undefined, gate?: FlowGate) {
  const clock = new TestClock();
  const names = new GuestNames();
  const guest = testGuest();
  const events: (FlowEvent & { kind: 'verdict' })[] = [];
  const feed = {
    add: (event: FlowEvent): void => {
      assert.ok(event.kind === 'verdict');
      events.push(event);
    },
  };
  const verdicts = new VerdictFeed({ clock, names, feed });
  verdicts.isWanted = () => true;
  const policy = new GuestPolicy({
    ...{ clock, names, namesOf: () => [] },
    ...{ isHost: () => false, isPublished: () => false },
  });
  if (document !== undefined) {
    const facts = { isRegistry: () => false, isShared: () => false };
    const { rules } = readPolicy(document, {
      ...{ facts, instantOf: (epochMs: number) => epochMs, unbound: new Set<string>() },
      hosts: [],
    });
    policy.replace(PolicyEngine.of(rules));
  }
  const addresses = addressMap();
  const destinations = new Destinations({
    ...{ addresses, policy, verdicts, gate, refusals: new Counters<string>() },
    isOwnListener: () => false,
    onBlock: (block) => verdicts.onBlock(block),
  });
  const dns = new DnsPolicy({
    ...{ policy, addresses, ourselves: testGuest() },
    onDenied: (owner, name, rule, isObserved) => {
      const to = { protocol: 'dns', remote: undefined, port: 0, name } as const;
      verdicts.onBlock({ owner, ...to, why: 'policy', rule, isObserved });
    },
  });
  const learn = (name: string, address: string): void =>
    names.learn(0, guest, replyBytes(queryBytes(name), { answers: [a(name, address, 60)] }));
  const decide = (to: string, port = 443, protocol: 'tcp' | 'udp' = 'tcp', owner = guest) => {
    const words = new Int32Array(4);
    setWords(words, ip(to));
    return destinations.decide(owner, protocol, words, 0, port);
  };
  const told = (): string[] =>
    events.map(({ verdict, count }) => {
      const { kind, protocol, place, remote, port, name, evidence, why, rule } = verdict;
      const to = `${kind} ${protocol} ${place} ${remote} ${port}`;
      return `${to} (${name} ${evidence}) ${why}: ${rule}${count > 1 ? ` x${count}` : ''}`;
    });
  return { clock, guest, verdicts, policy, destinations, dns, learn, decide, events, told };
}

describe('proxy/flows: verdicts', () => {
  it('of each flow: by what rule, by which name and how that is known, and where it leads', () => {
    const { decide, learn, told } = world(DOCUMENT);
    learn(NAME, FAR);
    decide(FAR);
    decide('10.0.0.1');
    learn('b.test', FAR);
    decide(FAR, 80);
    decide('169.254.169.254', 80);
    decide('192.168.127.254', 22);
    assert.deepEqual(told(), [
      'allowed tcp outside 192.0.2.1 443 (a.test asked) undefined: allow a.test:443',
      'denied tcp private 10.0.0.1 443 (undefined undefined) policy: default: deny',
      'denied tcp outside 192.0.2.1 80 (b.test inferred) policy: default: deny',
      'denied tcp undefined 169.254.169.254 80 (undefined undefined) link-local: undefined',
      'denied tcp host 192.168.127.254 22 (undefined undefined) policy: default: deny',
    ]);
  });

  it('without a policy too; services of ours have none then', () => {
    const { decide, destinations, guest, told } = world(undefined);
    decide(FAR);
    const words = new Int32Array(4);
    setWords(words, ip('192.168.127.1'));
    assert.equal(destinations.refusesService(guest, 'tcp', words, 0, 80), undefined);
    assert.deepEqual(told(), [
      'allowed tcp outside 192.0.2.1 443 (undefined undefined) undefined: undefined',
    ]);
  });

  it('of a service of the gateway, and of a target of the multiplexer', () => {
    const { destinations, guest, told } = world(DOCUMENT);
    const words = new Int32Array(4);
    setWords(words, ip('192.168.127.1'));
    assert.equal(destinations.refusesService(guest, 'tcp', words, 0, 80), undefined);
    assert.ok(!destinations.opensTarget(guest, 'tcp', ip('127.0.0.1'), 5432, 'agent'));
    assert.deepEqual(told(), [
      'allowed tcp gateway 192.168.127.1 80 (undefined undefined) undefined: allow gateway',
      'denied tcp host 127.0.0.1 5432 (undefined undefined) policy: default: deny',
    ]);
  });

  it('of what a guest states: once for each name, and of what does not agree', () => {
    const { decide, learn, told } = world(DOCUMENT);
    learn(NAME, FAR);
    const to = decide(FAR);
    assert.ok(to.kind === 'outside' && to.check !== undefined);
    const state = (name: string | undefined) =>
      to.check?.onClaim({ by: 'tls', name, hello: undefined });
    for (const name of [NAME, NAME, 'evil.test', undefined]) state(name);
    assert.deepEqual(told().slice(1), [
      'allowed tcp outside 192.0.2.1 443 (a.test sni) undefined: allow a.test:443',
      'denied tcp outside 192.0.2.1 443 (evil.test sni) policy: evil.test was not looked up to come here',
      'denied tcp outside 192.0.2.1 443 (a.test asked) policy: no name is stated (tls), and allow a.test:443 is for a name',
    ]);
  });

  it('of what a hook or the audit log decides; TCP has one when whoever holds the SYN says so', () => {
    let isDenied = true;
    const gate: FlowGate = {
      askTcp: () => assert.fail('held elsewhere'),
      askNow: () => (isDenied ? { why: 'program', text: 'onFlow denies it' } : undefined),
      askService: () => undefined,
      askClient: () => {},
      askClientNow: () => undefined,
    };
    const { decide, destinations, guest, told } = world(undefined, gate);
    decide(FAR, 53, 'udp');
    isDenied = false;
    decide(FAR, 53, 'udp');
    const to = decide(FAR);
    assert.equal(told().length, 2);
    assert.ok(to.kind === 'outside');
    destinations.onAllowed(guest, 'tcp', ip(FAR), 443, to);
    assert.deepEqual(
      told().map((line) => line.replace(/ \(.*\)/, '')),
      [
        'denied udp undefined 192.0.2.1 53 program: onFlow denies it',
        'allowed udp outside 192.0.2.1 53 undefined: undefined',
        'allowed tcp outside 192.0.2.1 443 undefined: undefined',
      ],
    );
  });

  it('where a policy observes: what it would deny, of flows and of queries, and nothing is denied', () => {
    const { decide, dns, guest, learn, told, policy } = world({ ...DOCUMENT, mode: 'observe' });
    learn(NAME, FAR);
    assert.equal(decide(FAR).kind, 'outside');
    assert.equal(decide(FAR, 80).kind, 'outside');
    const asked = (name: string, type: 'A' | 'PTR' | 'NULL' = 'A') =>
      dns.refusal(guest, query(name, type), 0);
    assert.equal(asked(NAME), undefined);
    assert.equal(asked('evil.test'), undefined);
    assert.equal(asked(NAME, 'NULL'), undefined);
    assert.equal(asked('1.2.3.4.in-addr.arpa', 'PTR'), undefined);
    const near = replyBytes(queryBytes(NAME), { answers: [a(NAME, '10.0.0.1', 60)] });
    assert.equal(dns.police(guest, query(NAME), near, { isDenied: false }), near);
    for (let n = 0; n <= NEW_NAMES_A_MINUTE; n++) {
      assert.equal(dns.excess(guest, query(`${n}.test`), 0), undefined);
    }
    assert.deepEqual(
      told().map((line) => line.replace('undefined undefined', '-')),
      [
        'allowed tcp outside 192.0.2.1 443 (a.test asked) undefined: allow a.test:443',
        'observed tcp outside 192.0.2.1 80 (a.test asked) policy: default: deny',
        'observed dns - 0 (evil.test asked) policy: default: deny',
        'observed dns - 0 (a.test asked) policy: not a type that guests may ask for',
        'observed dns - 0 (1.2.3.4.in-addr.arpa asked) policy: default: deny',
        'observed dns - 0 (a.test asked) policy: its addresses are of the host or of private networks',
        `observed dns - 0 (${NEW_NAMES_A_MINUTE}.test asked) policy: too many new names in a minute`,
      ],
    );
    assert.equal(policy.counts.snapshot()['observed'], 6);
    assert.equal(policy.denials.list().length, 6);
  });

  it('so many a second of each guest; of the rest one for each kind, with how many', () => {
    const { clock, decide, told, verdicts } = world(DOCUMENT);
    for (let n = 0; n < VERDICTS_A_SECOND + 500; n++) decide(FAR, 1 + n);
    assert.equal(told().length, VERDICTS_A_SECOND);
    decide(FAR, 443, 'tcp', testGuest());
    assert.equal(told().length, VERDICTS_A_SECOND + 1, 'another guest has its own');
    verdicts.settle();
    const [last] = told().slice(-1);
    assert.match(last ?? '', new RegExp(`^denied tcp .* ${VERDICTS_A_SECOND + 1} .* x500$`));
    clock.time += 1_000;
    decide(FAR, 5);
    assert.match(told().at(-1) ?? '', / 5 /);
  });

  it('for nobody nothing is made', () => {
    const { decide, events, verdicts } = world(DOCUMENT);
    verdicts.isWanted = () => false;
    decide(FAR);
    decide(FAR, 80);
    assert.deepEqual(events, []);
  });
});
