import assert from 'node:assert/strict';
import { Counters } from '../../../src/base/counters.ts';
import { setWords } from '../../../src/base/ip-address.ts';
import { readPolicy } from '../../../src/network/policy/policy-document.ts';
import type { Block, DestinationProtocol } from '../../../src/proxy/flows/destination.ts';
import { Destinations } from '../../../src/proxy/flows/destinations.ts';
import type { FlowAttempt, FlowGate } from '../../../src/proxy/flows/flow-gate.ts';
import { GuestNames } from '../../../src/proxy/flows/guest-names.ts';
import type { AllowedFlow } from '../../../src/proxy/flows/verdict.ts';
import { GuestPolicy } from '../../../src/proxy/policy/guest-policy.ts';
import type { OtherResolvers } from '../../../src/proxy/policy/other-resolvers.ts';
import { PolicyEngine } from '../../../src/services/policy/policy-engine.ts';
import { a, queryBytes, replyBytes } from '../../services/dns/dns-wire.ts';
import { testGuest } from '../../support/test-guest.ts';
import { addressMap, HOST, ip } from '../recording.ts';

const RESOLVER = '8.8.8.8';
const NAMED = '9.9.9.9';

/** @param document undefined: there is no policy */
function world(document: object | undefined, others: OtherResolvers, gate?: FlowGate) {
  const names = new GuestNames();
  const guest = testGuest();
  const policy = new GuestPolicy({
    clock: { now: () => 0 },
    names,
    namesOf: () => [],
    isHost: () => false,
    isPublished: () => false,
    otherResolvers: others,
  });
  const facts = { isRegistry: () => false, isShared: () => false };
  if (document !== undefined) {
    const { rules } = readPolicy(document, {
      ...{ facts, instantOf: (epochMs: number) => epochMs, unbound: new Set<string>() },
      hosts: [HOST.toString()],
    });
    policy.replace(PolicyEngine.of(rules));
  }
  const blocks: Block[] = [];
  const allowed: AllowedFlow[] = [];
  const destinations = new Destinations({
    addresses: addressMap(),
    isOwnListener: () => false,
    refusals: new Counters<string>(),
    onBlock: (block) => blocks.push(block),
    verdicts: { isWanted: () => true, onAllowed: (flow) => allowed.push(flow) },
    ...{ policy, gate },
  });
  names.learn(
    0,
    guest,
    replyBytes(queryBytes('dns.test'), { answers: [a('dns.test', NAMED, 60)] }),
  );
  const decide = (to: string, port: number, protocol: DestinationProtocol = 'udp'): string => {
    const words = new Int32Array(4);
    setWords(words, ip(to));
    const { kind, ...rest } = destinations.decide(guest, protocol, words, 0, port);
    return 'answer' in rest ? rest.answer : kind;
  };
  const verdictOf = (to: string, port: number): string => {
    const words = new Int32Array(4);
    setWords(words, ip(to));
    const found = destinations.decide(guest, 'udp', words, 0, port);
    return ('verdict' in found ? found.verdict?.rule : undefined) ?? found.kind;
  };
  const opensTarget = (to: string, port: number): boolean =>
    destinations.opensTarget(guest, 'udp', ip(to), port, 'agent');
  return { decide, verdictOf, opensTarget, blocks, allowed, policy, guest };
}

const BROAD = { default: 'allow', rules: [{ deny: { name: 'evil.test' } }] };
const EVERYWHERE = { default: 'deny', rules: [{ allow: { cidr: '0.0.0.0/0' } }] };
const CLOSED = { default: 'deny', rules: [{ allow: { name: 'a.test' } }] };
const withRule = (rule: object): object => ({ default: 'deny', rules: [rule] });

/** Of port 53, of port 853. */
type Row = readonly [what: string, object | undefined, OtherResolvers, string, string, string?];

const ROWS: readonly Row[] = [
  ['no policy', undefined, 'redirect', 'outside', 'outside'],
  ['a policy that denies nothing', { default: 'allow' }, 'redirect', 'outside', 'outside'],
  ['default: allow', BROAD, 'redirect', 'dns', 'refused'],
  ['default: allow', BROAD, 'refuse', 'refused', 'refused'],
  ['default: allow', BROAD, 'allow', 'outside', 'outside'],
  ['default: allow, the host', BROAD, 'redirect', 'dns', 'refused', HOST.toString()],
  ['default: deny', CLOSED, 'redirect', 'dns', 'prohibited'],
  ['default: deny', CLOSED, 'refuse', 'prohibited', 'prohibited'],
  ['default: deny', CLOSED, 'allow', 'prohibited', 'prohibited'],
  ['a rule for every address', EVERYWHERE, 'redirect', 'dns', 'refused'],
  ['a rule for every address', EVERYWHERE, 'refuse', 'refused', 'refused'],
  [
    'a rule for the port, wherever',
    withRule({ allow: { port: 53 } }),
    'redirect',
    'dns',
    'prohibited',
  ],
  [
    'a rule for the port outside',
    withRule({ allow: { to: 'outside', port: [53, 853] } }),
    ...(['refuse', 'refused', 'refused'] as const),
  ],
  [
    'a rule for the port of every address',
    withRule({ allow: { cidr: '0.0.0.0/0', port: [53, 853] } }),
    ...(['redirect', 'dns', 'refused'] as const),
  ],
  ['a rule for the address', withRule({ allow: { cidr: RESOLVER } }), 'redirect', 'dns', 'refused'],
  [
    'a rule for a range of ports',
    withRule({ allow: { cidr: RESOLVER, port: '1-1023' } }),
    ...(['redirect', 'dns', 'refused'] as const),
  ],
  [
    'a rule for the resolver',
    withRule({ allow: { cidr: RESOLVER, port: [53, 853] } }),
    ...(['redirect', 'outside', 'outside'] as const),
  ],
  [
    'a rule for its network',
    withRule({ allow: { cidr: '8.8.8.0/24', port: [53, 853] } }),
    ...(['refuse', 'outside', 'outside'] as const),
  ],
  [
    'a rule for its name',
    withRule({ allow: { name: 'dns.test', port: 853 } }),
    ...(['redirect', 'dns', 'outside', NAMED] as const),
  ],
  [
    "a rule for the host's resolver",
    withRule({ allow: { to: 'host', port: 53 } }),
    ...(['redirect', 'host-loopback', 'prohibited', HOST.toString()] as const),
  ],
  [
    'a rule that denies the resolver',
    { default: 'allow', rules: [{ deny: { cidr: RESOLVER } }] },
    ...(['redirect', 'prohibited', 'prohibited'] as const),
  ],
  [
    'a rule that drops all DNS',
    { default: 'allow', rules: [{ drop: { port: [53, 853] } }] },
    ...(['redirect', 'none', 'none'] as const),
  ],
  ['a policy that observes', { ...BROAD, mode: 'observe' }, 'redirect', 'outside', 'outside'],
  ['a policy that observes', { ...BROAD, mode: 'observe' }, 'refuse', 'outside', 'outside'],
];

describe('proxy/policy/other-resolvers', () => {
  for (const [what, document, others, plain, encrypted, to = RESOLVER] of ROWS) {
    it(`${what}, --dns-other ${others}: ${to}:53 ${plain}, :853 ${encrypted}`, () => {
      const { decide } = world(document, others);
      for (const protocol of ['udp', 'tcp'] as const) {
        assert.equal(decide(to, 53, protocol), plain, protocol);
        assert.equal(decide(to, 853, protocol), encrypted, protocol);
      }
    });
  }

  it('both families, and nothing else: neither other ports, nor pings, nor the gateway', () => {
    const { decide } = world(BROAD, 'redirect');
    assert.equal(decide('2001:4860:4860::8888', 53), 'dns');
    assert.equal(decide('64:ff9b::808:808', 53), 'dns');
    assert.equal(decide('2001:4860:4860::8888', 853, 'tcp'), 'refused');
    assert.equal(decide(RESOLVER, 5353), 'outside');
    assert.equal(decide(RESOLVER, 443, 'tcp'), 'outside');
    assert.equal(decide(RESOLVER, 0, 'icmp'), 'outside');
    assert.equal(decide('192.168.127.1', 853, 'tcp'), 'gateway');
  });

  it('what is refused is listed with why, and what is redirected is counted', () => {
    const { decide, blocks, allowed, policy, guest } = world(BROAD, 'redirect');
    decide(RESOLVER, 53);
    const [verdict] = allowed;
    assert.deepEqual([verdict?.place, verdict?.port, allowed.length], ['gateway', 53, 1]);
    assert.match(verdict?.rule ?? '', /the DNS of the gateway answers/);
    assert.equal(blocks.length, 0);
    decide(RESOLVER, 853, 'tcp');
    const [denial] = policy.denials.list(guest);
    assert.match(denial?.attempt.why ?? '', /guests are to ask the DNS of the gateway/);
    assert.equal(blocks[0]?.rule, denial?.attempt.why);
    assert.deepEqual(policy.counts.snapshot(), { redirected: 1, denied: 1 });
  });

  it('a policy that observes says what would be redirected', () => {
    const { blocks, verdictOf } = world({ default: 'deny', mode: 'observe' }, 'redirect');
    assert.match(verdictOf(RESOLVER, 53), /the DNS of the gateway would answer/);
    assert.equal(blocks.length, 0);
  });

  it('a policy that observes lists what would be refused', () => {
    const { decide, blocks } = world({ ...BROAD, mode: 'observe' }, 'refuse');
    decide(RESOLVER, 53);
    assert.deepEqual(
      blocks.map(({ port, isObserved }) => [port, isObserved]),
      [[53, true]],
    );
  });

  it('the multiplexer opens a resolver to whom a rule means alone: nobody answers in its place', () => {
    assert.equal(world(BROAD, 'redirect').opensTarget(RESOLVER, 53), false);
    assert.equal(world(BROAD, 'allow').opensTarget(RESOLVER, 53), true);
    const meant = world(withRule({ allow: { cidr: RESOLVER, port: 53 } }), 'redirect');
    assert.equal(meant.opensTarget(RESOLVER, 53), true);
  });

  it('where a record is required, none means no answer', () => {
    const asked: FlowAttempt[] = [];
    const denial = { why: 'audit', text: 'no record' } as const;
    const gate: FlowGate = {
      askTcp: () => assert.fail(),
      askNow: () => assert.fail(),
      askService: (attempt) => {
        asked.push(attempt);
        return denial;
      },
      askClient: () => assert.fail(),
      askClientNow: () => assert.fail(),
    };
    const { decide, blocks } = world(BROAD, 'redirect', gate);
    assert.equal(decide(RESOLVER, 53), 'prohibited');
    assert.equal(asked[0]?.remotePort, 53);
    assert.match(asked[0]?.rule ?? '', /the DNS of the gateway answers/);
    assert.equal(blocks[0]?.why, 'audit');
  });
});
