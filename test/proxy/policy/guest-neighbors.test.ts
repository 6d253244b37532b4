/** Guests that try each other, in the lists of what is denied. */
import assert from 'node:assert/strict';
import { Counters } from '../../../src/base/counters.ts';
import { setWords } from '../../../src/base/ip-address.ts';
import type {
  Block,
  Destination,
  DestinationProtocol,
} from '../../../src/proxy/flows/destination.ts';
import { Destinations } from '../../../src/proxy/flows/destinations.ts';
import { DENIALS_MAX } from '../../../src/proxy/policy/denials.ts';
import { GuestNeighbors } from '../../../src/proxy/policy/guest-neighbors.ts';
import { GuestPolicy } from '../../../src/proxy/policy/guest-policy.ts';
import type { PolicyMode, PolicyRule } from '../../../src/services/policy/policy.ts';
import { PolicyEngine } from '../../../src/services/policy/policy-engine.ts';
import type { GuestAttempt } from '../../../src/stack/separation/guest-attempt.ts';
import { testGuest } from '../../support/test-guest.ts';
import { addressMap, ip } from '../recording.ts';

const ALLOWED: PolicyRule = {
  ...{ action: 'allow', guest: undefined, protocol: undefined, ports: undefined },
  ...{ prefix: undefined, name: undefined, place: 'guest', isSniOptional: false },
  ...{ until: undefined, text: 'allow guest' },
};

function world(mode: PolicyMode = 'enforce', rules: readonly PolicyRule[] = []) {
  const blocks: Block[] = [];
  const policy = new GuestPolicy({
    clock: { now: () => 0 },
    names: { all: () => [] },
    namesOf: () => [],
    isHost: () => false,
    isPublished: () => false,
  });
  policy.replace(PolicyEngine.of({ byDefault: 'deny', mode, rules }));
  const onBlock = (block: Block): unknown => blocks.push(block);
  const addresses = addressMap();
  const neighbors = new GuestNeighbors({ policy, addresses, onBlock });
  const destinations = new Destinations({
    ...{ policy, neighbors, addresses, onBlock, refusals: new Counters() },
    isOwnListener: () => false,
  });
  const guest = testGuest();
  const attempt = (to: string, protocol: GuestAttempt['protocol'] = 'ip', port = 0): void => {
    const words = new Int32Array(4);
    setWords(words, ip(to));
    neighbors.onAttempt(guest, { protocol, port, words });
  };
  /** A packet that is sent to the gateway. */
  const routed = (to: string, protocol: DestinationProtocol, port: number): Destination => {
    const words = new Int32Array(6);
    words.set([ip(to).a, ip(to).b, ip(to).c, ip(to).d], 2);
    return destinations.decide(guest, protocol, words, 2, port);
  };
  const listed = (): string[] =>
    policy.denials.list().map(({ count, attempt: { protocol, address, port, why, place } }) => {
      return `${count} ${address}:${port}/${protocol} ${place}: ${why}`;
    });
  return { policy, blocks, attempt, routed, listed, destinations };
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

  it('what is sent to the gateway for another guest is listed alike', () => {
    const { attempt, routed, listed, blocks, policy } = world();
    attempt('192.168.127.3', 'tcp', 22);
    const to = routed('192.168.127.3', 'tcp', 22);
    assert.ok(to.kind === 'refused');
    assert.deepEqual([to.why, to.count, to.answer], ['policy', 'tcp-policy', 'none']);
    routed('192.168.127.4', 'udp', 53);
    routed('192.168.127.4', 'icmp', 0);
    assert.deepEqual(listed(), [
      '2 192.168.127.3:22/tcp guest: default: deny',
      '1 192.168.127.4:53/udp guest: default: deny',
      '1 192.168.127.4:0/icmp guest: default: deny',
    ]);
    assert.deepEqual([blocks.length, policy.counts.get('denied')], [4, 4]);
    assert.ok(blocks.every(({ why, rule }) => why === 'policy' && rule === 'default: deny'));
  });

  it('is no denial of a policy that observes, or lets guests reach each other: nothing is routed', () => {
    for (const { routed, blocks } of [world('observe'), world('enforce', [ALLOWED])]) {
      const to = routed('192.168.127.3', 'tcp', 22);
      assert.ok(to.kind === 'refused');
      assert.equal(to.why, 'subnet');
      assert.equal(blocks.at(-1)?.why, 'subnet');
    }
  });

  it('is not listed by who only asks what another policy would say', () => {
    const { destinations, policy, listed } = world();
    const words = new Int32Array(4);
    setWords(words, ip('192.168.127.3'));
    destinations.decidingBy(policy).decide(testGuest(), 'tcp', words, 0, 22);
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
