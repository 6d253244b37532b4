/** Guests that try each other, in the lists of what is denied. */
import assert from 'node:assert/strict';
import { setWords } from '../../../src/base/ip-address.ts';
import type { Block } from '../../../src/proxy/flows/destination.ts';
import { DENIALS_MAX } from '../../../src/proxy/policy/denials.ts';
import { GuestNeighbors } from '../../../src/proxy/policy/guest-neighbors.ts';
import { GuestPolicy } from '../../../src/proxy/policy/guest-policy.ts';
import type { PolicyMode } from '../../../src/services/policy/policy.ts';
import { PolicyEngine } from '../../../src/services/policy/policy-engine.ts';
import type { GuestAttempt } from '../../../src/stack/separation/guest-attempt.ts';
import { testGuest } from '../../support/test-guest.ts';
import { addressMap, ip } from '../recording.ts';

function world(mode: PolicyMode = 'enforce') {
  const blocks: Block[] = [];
  const policy = new GuestPolicy({
    clock: { now: () => 0 },
    names: { all: () => [] },
    namesOf: () => [],
    isHost: () => false,
    isPublished: () => false,
  });
  policy.replace(PolicyEngine.of({ byDefault: 'deny', mode, rules: [] }));
  const neighbors = new GuestNeighbors({
    ...{ policy, addresses: addressMap(), onBlock: (block) => blocks.push(block) },
  });
  const guest = testGuest();
  const attempt = (to: string, protocol: GuestAttempt['protocol'] = 'ip', port = 0): void => {
    const words = new Int32Array(4);
    setWords(words, ip(to));
    neighbors.onAttempt(guest, { protocol, port, words });
  };
  const listed = (): string[] =>
    policy.denials.list().map(({ count, attempt: { protocol, address, port, why, place } }) => {
      return `${count} ${address}:${port}/${protocol} ${place}: ${why}`;
    });
  return { policy, blocks, attempt, listed };
}

describe('proxy/policy/guest-neighbors', () => {
  it('are listed by address, protocol and port, with the rule and how often', () => {
    const { attempt, listed, blocks, policy } = world();
    attempt('192.168.127.3');
    attempt('192.168.127.3');
    attempt('192.168.127.3', 'tcp', 22);
    attempt('fe80::9');
    assert.deepEqual(listed(), [
      '2 192.168.127.3:0/ip guest: default: deny',
      '1 192.168.127.3:22/tcp guest: default: deny',
      '1 fe80::9:0/ip guest: default: deny',
    ]);
    assert.deepEqual(
      blocks.map(({ protocol, why, rule, isObserved }) => [protocol, why, rule, isObserved]),
      [
        ...[0, 1].map(() => ['ip', 'policy', 'default: deny', undefined]),
        ['tcp', 'policy', 'default: deny', undefined],
        ['ip', 'policy', 'default: deny', undefined],
      ],
    );
    assert.equal(policy.counts.get('denied'), 4);
  });

  it('the gateway, the host and what is not on the link are none', () => {
    const { attempt, listed } = world();
    for (const to of ['192.168.127.1', '192.168.127.254', '198.18.0.1', '169.254.169.254']) {
      attempt(to);
    }
    assert.deepEqual(listed(), []);
  });

  it('a policy that observes lists them as let pass', () => {
    const { attempt, policy, blocks } = world('observe');
    attempt('192.168.127.3');
    assert.deepEqual([blocks[0]?.isObserved, policy.counts.get('observed')], [true, 1]);
    assert.equal(policy.denials.list()[0]?.attempt.isObserved, true);
  });

  it('who tries everything fills no more than there is', () => {
    const { attempt, policy } = world();
    for (let port = 1; port <= DENIALS_MAX + 100; port++) attempt('192.168.127.3', 'udp', port);
    assert.equal(policy.denials.list().length, DENIALS_MAX);
  });
});
