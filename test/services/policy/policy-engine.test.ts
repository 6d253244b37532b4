import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isInside, parsePrefix } from '../../../src/services/address-text.ts';
import {
  POLICY_ACTIONS,
  POLICY_PLACES,
  POLICY_PROTOCOLS,
  type PolicyRule,
  type PolicyRules,
} from '../../../src/services/policy/policy.ts';
import { PolicyEngine, type PolicyQuestion } from '../../../src/services/policy/policy-engine.ts';
import { matchesName } from '../../../src/services/policy/policy-name.ts';
import { ip } from '../../proxy/recording.ts';

const rule = (fields: Partial<PolicyRule> & { cidr?: string }): PolicyRule => ({
  action: 'allow',
  guest: undefined,
  protocol: undefined,
  ports: undefined,
  prefix: fields.cidr === undefined ? undefined : parsePrefix(fields.cidr),
  name: undefined,
  place: undefined,
  isSniOptional: false,
  until: undefined,
  text: 'a rule',
  ...fields,
});
const named = (text: string): PolicyRule['name'] => ({
  name: text.replace('*.', ''),
  isWildcard: text.startsWith('*.'),
});
const rules = (list: readonly PolicyRule[], byDefault: 'allow' | 'deny' = 'deny'): PolicyRules => ({
  byDefault,
  mode: 'enforce',
  rules: list,
});

interface Asked {
  readonly to?: string;
  readonly port?: number;
  readonly protocol?: PolicyQuestion['protocol'];
  readonly place?: PolicyQuestion['place'];
  readonly guests?: readonly string[];
  readonly names?: readonly string[];
}
function question(asked: Asked): PolicyQuestion {
  const { a, b, c, d } = ip(asked.to ?? '192.0.2.1');
  return {
    guests: asked.guests ?? [],
    protocol: asked.protocol ?? 'tcp',
    words: Int32Array.of(a, b, c, d),
    at: 0,
    port: asked.port ?? 443,
    place: asked.place ?? 'outside',
    names: asked.names ?? [],
  };
}

/** By the definition: the first rule that matches, one after the other. */
function slowly(all: PolicyRules, asked: Asked, now: number): number {
  const { to = '192.0.2.1', port = 443, protocol = 'tcp', place = 'outside' } = asked;
  const { guests = [], names = [] } = asked;
  return all.rules.findIndex((one) => {
    const isNear = one.action === 'allow' && place !== 'outside';
    const hasPorts = one.ports !== undefined;
    const opens =
      !isNear ||
      (place === 'host' && one.place === 'host' && (hasPorts || one.protocol === 'icmp')) ||
      (place === 'gateway' && one.place === 'gateway') ||
      (place === 'private' &&
        (one.place === 'private' || (one.name === undefined && one.prefix !== undefined)));
    return (
      opens &&
      (one.until === undefined || now < one.until) &&
      (one.guest === undefined || guests.includes(one.guest)) &&
      (one.protocol === undefined || one.protocol === protocol) &&
      (one.place === undefined || one.place === place) &&
      (one.prefix === undefined || isInside(one.prefix, ip(to))) &&
      (one.ports?.some((r) => protocol !== 'icmp' && r.from <= port && port <= r.to) ?? true) &&
      (one.name === undefined || names.some((name) => one.name && matchesName(one.name, name)))
    );
  });
}

const NAMES = ['example.com', 'a.example.com', 'b.a.example.com', 'example.net', 'com'];
const ADDRESSES = ['10.0.0.1', '10.1.2.3', '192.0.2.1', '2001:db8::1', '2001:db9::1'];
const maybe = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(one, { nil: undefined });
const anyPorts = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }))
  .map(([p, q]) => [{ from: Math.min(p, q), to: Math.max(p, q) }]);
const target = fc.oneof(
  fc.constant({}),
  fc
    .constantFrom('10.0.0.0/8', '10.0.0.1/32', '0.0.0.0/0', '2001:db8::/32', '::/0', '192.0.2.0/24')
    .map((cidr) => ({ cidr })),
  fc
    .constantFrom(...NAMES, '*.example.com', '*.a.example.com')
    .map((text) => ({ name: named(text) })),
);
const anyRule = fc
  .record({
    action: fc.constantFrom(...POLICY_ACTIONS),
    guest: maybe(fc.constantFrom('one', 'two')),
    protocol: maybe(fc.constantFrom(...POLICY_PROTOCOLS)),
    ports: maybe(anyPorts),
    place: maybe(fc.constantFrom(...POLICY_PLACES)),
    until: maybe(fc.integer({ min: 0, max: 9 })),
    target,
  })
  .map(({ target: of, ...fields }) => rule({ ...fields, ...of }));
const anyQuestion = fc.record({
  to: fc.constantFrom(...ADDRESSES),
  port: fc.integer({ min: 1, max: 6 }),
  protocol: fc.constantFrom(...POLICY_PROTOCOLS),
  place: fc.constantFrom(...POLICY_PLACES),
  guests: fc.subarray(['one', 'two', 'three']),
  names: fc.subarray(NAMES),
});

describe('services/policy/policy-engine', () => {
  it('decides as one rule after the other does', () => {
    fc.assert(
      fc.property(
        fc.array(anyRule, { maxLength: 12 }),
        fc.constantFrom('allow' as const, 'deny' as const),
        fc.array(anyQuestion, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 0, max: 10 }),
        (list, byDefault, asked, now) => {
          const all = rules(list, byDefault);
          const engine = new PolicyEngine(all);
          for (const one of asked) {
            const verdict = engine.decide(question(one), now);
            const expected = slowly(all, one, now);
            assert.equal(verdict.rule, expected);
            assert.equal(verdict.action, list[expected]?.action ?? byDefault);
          }
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('a wildcard is every depth and not the name itself', () => {
    const engine = new PolicyEngine(rules([rule({ name: named('*.example.com') })]));
    const actionOf = (...names: string[]): string => engine.decide(question({ names }), 0).action;
    assert.equal(actionOf('example.com'), 'deny');
    assert.equal(actionOf('a.example.com'), 'allow');
    assert.equal(actionOf('b.a.example.com'), 'allow');
    assert.equal(actionOf('badexample.com'), 'deny');
    assert.equal(actionOf(), 'deny');
    assert.equal(actionOf('x.test', 'a.example.com'), 'allow');
  });

  it('no name opens the neighbourhood, no network opens the host, and no rule the host as a whole', () => {
    const host = { place: 'host' } as const;
    const list = [
      rule({ name: named('example.com') }),
      rule({ cidr: '0.0.0.0/0' }),
      rule({ place: 'host' }),
      rule({ place: 'host', ports: [{ from: 5432, to: 5432 }] }),
    ];
    const engine = new PolicyEngine(rules(list));
    const ruleOf = (asked: Asked): number => engine.decide(question(asked), 0).rule;
    const names = ['example.com'];
    assert.equal(ruleOf({ names }), 0);
    assert.equal(ruleOf({ names, place: 'private', to: '10.0.0.1' }), 1);
    assert.equal(ruleOf({ names, place: 'private', to: '2001:db8::1' }), -1);
    assert.equal(ruleOf({ ...host, names, to: '127.0.0.1', port: 80 }), -1);
    assert.equal(ruleOf({ ...host, to: '127.0.0.1', port: 5432 }), 3);
    assert.equal(ruleOf({ place: 'gateway', to: '192.168.127.1' }), -1);
  });

  const asking: readonly (readonly [string, PolicyRule[], string, string])[] = [
    ['nothing', [], 'x.test', 'deny'],
    ['the name', [rule({ name: named('x.test') })], 'x.test', 'allow'],
    ['a name below', [rule({ name: named('a.b.x.test') })], 'x.test', 'below'],
    ['a wildcard', [rule({ name: named('*.x.test') })], 'x.test', 'below'],
    ['a name beside', [rule({ name: named('a.x.test') })], 'b.x.test', 'deny'],
    ['a network', [rule({ cidr: '0.0.0.0/0' })], 'x.test', 'deny'],
    ['a port', [rule({ ports: [{ from: 443, to: 443 }] })], 'x.test', 'allow'],
    ['ports of the host', [rule({ place: 'host', ports: [{ from: 1, to: 9 }] })], 'x.test', 'deny'],
    [
      'all but one port',
      [
        rule({ action: 'deny', name: named('x.test'), ports: [{ from: 1, to: 9 }] }),
        rule({ name: named('x.test') }),
      ],
      'x.test',
      'allow',
    ],
    [
      'others',
      [rule({ action: 'drop', name: named('x.test') }), rule({ name: named('*.test') })],
      'x.test',
      'deny',
    ],
    ['it until now', [rule({ name: named('x.test'), until: 5 })], 'x.test', 'deny'],
    ['it to others', [rule({ name: named('x.test'), guest: 'other' })], 'x.test', 'deny'],
    ['it to this one', [rule({ name: named('x.test'), guest: 'this' })], 'x.test', 'allow'],
  ];
  for (const [what, list, name, expected] of asking) {
    it(`who allows ${what} is asked for ${name}: ${expected}`, () => {
      assert.equal(new PolicyEngine(rules(list)).decideName(['this'], name, 5), expected);
    });
  }

  it('a name that may not be asked for has no flow by that name alone', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 8 }), anyQuestion, (list, asked) => {
        const engine = new PolicyEngine(rules(list));
        for (const name of NAMES) {
          if (engine.decideName(asked.guests, name, 0) === 'allow') continue;
          const q = { ...asked, place: 'outside' as const, names: [name] };
          const verdict = engine.decide(question(q), 0);
          assert.ok(verdict.action !== 'allow' || !verdict.byName);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('restricts when something is not allowed', () => {
    assert.equal(new PolicyEngine(rules([])).isRestricting, true);
    assert.equal(new PolicyEngine(rules([], 'allow')).isRestricting, false);
    assert.equal(new PolicyEngine(rules([rule({ action: 'drop' })], 'allow')).isRestricting, true);
  });

  it('ten thousand rules and as many names: microseconds', () => {
    const list = Array.from({ length: 10_000 }, (_, n) =>
      n % 2 === 0
        ? rule({ cidr: `10.${n >> 8}.${n & 255}.0/24`, ports: [{ from: 1, to: 443 }] })
        : rule({ name: named(`${n % 4 === 1 ? '*.' : ''}n${n}.example.com`) }),
    );
    const engine = new PolicyEngine(rules(list));
    const asked = Array.from({ length: 1_000 }, (_, n) =>
      question({ to: `198.51.${n >> 8}.${n & 255}`, names: [`a.n${n * 10 + 5}.example.com`] }),
    );
    const round = (): number => {
      const began = performance.now();
      for (const one of asked) engine.decide(one, 0);
      return ((performance.now() - began) * 1000) / asked.length;
    };
    const best = Math.min(...Array.from({ length: 20 }, round));
    assert.ok(best < 20, `${best.toFixed(2)} us each`);
  });
});
