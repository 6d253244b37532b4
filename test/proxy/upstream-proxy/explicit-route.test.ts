import assert from 'node:assert/strict';
import { readPolicy } from '../../../src/network/policy/policy-document.ts';
import { HostLookup } from '../../../src/proxy/host-lookup.ts';
import { GuestPolicy } from '../../../src/proxy/policy/guest-policy.ts';
import { ExplicitRoute } from '../../../src/proxy/upstream-proxy/explicit-route.ts';
import { HttpRelay } from '../../../src/proxy/upstream-proxy/http-relay.ts';
import type { ProxiedCount } from '../../../src/proxy/upstream-proxy/route-step.ts';
import { PolicyEngine } from '../../../src/services/policy/policy-engine.ts';
import { testGuest } from '../../support/test-guest.ts';

describe('proxy/upstream-proxy: what is stated in a tunnel that a guest has asked the gateway for', () => {
  const inTunnel = (document: object) => {
    const policy = new GuestPolicy({
      clock: { now: () => 0 },
      names: { all: () => [] },
      namesOf: () => ['build'],
      isHost: () => false,
      isPublished: () => false,
    });
    const facts = { isRegistry: () => false, isShared: () => false };
    const context = { facts, instantOf: (ms: number) => ms, unbound: new Set<string>(), hosts: [] };
    policy.replace(PolicyEngine.of(readPolicy(document, context).rules));
    const counts: ProxiedCount[] = [];
    const count = (what: ProxiedCount): unknown => counts.push(what);
    const dial = { names: new HostLookup(), options: {}, patienceMs: 1 };
    const route = new ExplicitRoute(
      {
        routes: {
          dial,
          relay: new HttpRelay(dial, count),
          isKnown: () => false,
          count,
          onFailed: () => {},
          waitMs: 1,
        },
        rules: () => assert.fail(),
        destinations: { decide: () => assert.fail() },
        policy,
        isOurs: () => false,
        resolve: () => assert.fail(),
      },
      testGuest(),
    );
    const check = route.checkIn('a.test', 443);
    const states = (name: string | undefined): string | undefined =>
      check?.onClaim({ by: 'tls', name, hello: undefined });
    return { check, states, policy, counts };
  };
  const ALLOWED = { allow: { name: 'a.test', port: 443 } };

  it('is the name that it was asked for; what is not is counted and listed', () => {
    const { check, states, policy, counts } = inTunnel({ default: 'deny', rules: [ALLOWED] });
    assert.equal(states('a.test'), undefined);
    assert.match(states('b.test') ?? '', /^b\.test was not looked up to come here/);
    assert.match(states(undefined) ?? '', /^no name is stated \(tls\)/);
    assert.match(check?.onFault('truncated') ?? '', /^truncated/);
    assert.deepEqual(counts, ['denied', 'denied', 'denied']);
    assert.equal(policy.counts.snapshot()['denied-by-inspection'], 3);
    assert.deepEqual(
      policy.denials.list().map(({ attempt: { name, port, why } }) => [name, port, why]),
      [
        ['b.test', 443, 'b.test was not looked up to come here, in a tunnel to a.test'],
        [
          'a.test',
          443,
          'no name is stated (tls), and allow a.test:443 is for a name, in a tunnel to a.test',
        ],
        ['a.test', 443, 'truncated: allow a.test:443 is for a name, in a tunnel to a.test'],
      ],
    );
  });

  it('need not be stated where the rule says so', () => {
    const allow = { ...ALLOWED.allow, sni: 'optional' };
    const { states } = inTunnel({ default: 'deny', rules: [{ allow }] });
    assert.equal(states(undefined), undefined);
    assert.ok(states('b.test'));
  });

  it('may be anything that is not denied where all may go everywhere', () => {
    const { check, states, counts } = inTunnel({
      ...{ default: 'allow', rules: [ALLOWED, { deny: { name: 'evil.test' } }] },
    });
    assert.equal(states('b.test'), undefined);
    assert.equal(states(undefined), undefined);
    assert.equal(check?.onFault('tls-malformed'), undefined);
    assert.deepEqual(counts, []);
    assert.ok(states('evil.test'));
  });

  it('is read where a rule for a name has allowed it, and the policy enforces', () => {
    assert.equal(inTunnel({ default: 'allow' }).check, undefined);
    assert.equal(inTunnel({ default: 'deny', mode: 'observe', rules: [ALLOWED] }).check, undefined);
  });
});
