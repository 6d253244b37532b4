import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { Counters } from '../../../src/base/counters.ts';
import { setWords } from '../../../src/base/ip-address.ts';
import { SILENT } from '../../../src/base/log.ts';
import type { PolicyVerdictView } from '../../../src/control/policy-view.ts';
import { LivePolicy } from '../../../src/network/policy/live-policy.ts';
import { PolicyProber } from '../../../src/network/policy/policy-prober.ts';
import type {
  Block,
  Destination,
  DestinationProtocol,
} from '../../../src/proxy/flows/destination.ts';
import { Destinations } from '../../../src/proxy/flows/destinations.ts';
import type { FlowFacts } from '../../../src/proxy/flows/flow.ts';
import { FlowBook } from '../../../src/proxy/flows/flow-book.ts';
import { GuestPolicy } from '../../../src/proxy/policy/guest-policy.ts';
import { SlicedWork } from '../../../src/proxy/sliced-work.ts';
import type { Guest } from '../../../src/stack/guest.ts';
import type { PolicedPassage } from '../../../src/stack/separation/separation.ts';
import { addressMap, ip } from '../../proxy/recording.ts';
import { a, queryBytes, replyBytes } from '../../services/dns/dns-wire.ts';
import { testGuest } from '../../support/test-guest.ts';

const HOST = '192.168.127.254';
const ANSWERS = { prohibited: 'deny', refused: 'reject', none: 'drop' } as const;

/** Two guests, and a policy that is live. */
function world() {
  const clock = { ms: 0, now: () => clock.ms };
  const wall = { aheadMs: 0 };
  const book = new FlowBook(clock);
  const guests: Readonly<Record<string, Guest>> = { one: testGuest(), two: testGuest() };
  const blocks: Block[] = [];
  const passages: PolicedPassage[] = [];
  const policy = new GuestPolicy({
    clock,
    names: book.names,
    namesOf: (owner) => Object.keys(guests).filter((name) => guests[name] === owner),
    isHost: (address) => `${address}` === '198.51.100.9',
    isPublished: (protocol, port) => protocol === 'tcp' && port === 4,
    otherResolvers: 'redirect',
  });
  const destinations = new Destinations({
    addresses: addressMap(),
    isOwnListener: () => false,
    refusals: new Counters<string>(),
    onBlock: (block) => blocks.push(block),
    policy,
  });
  const guestOf = (text: string): Guest | undefined => guests[text];
  const localAddresses = (name: string) =>
    name === 'host.docker.internal' ? [ip(HOST)] : undefined;
  const facts = { isRegistry: () => false, isShared: () => false };
  const live = new LivePolicy({
    ...{ policy, book, clock, guestOf, log: SILENT, work: new SlicedWork() },
    start: { facts, policy: undefined },
    prober: new PolicyProber({
      ...{ policy, destinations, clock, guestOf, localAddresses },
      names: book.names,
      isIsolated: false,
      isMux: (text) => text === 'agent',
    }),
    policePassage: (policed) => passages.push(policed),
    isName: (text) => text === 'later' || text === 'agent',
    surroundings: {
      ...{ hosts: [HOST], unbound: new Set() },
      instantOf: (epochMs) => epochMs - wall.aheadMs,
    },
  });
  const guest = (name: string): Guest => {
    const found = guests[name];
    assert.ok(found);
    return found;
  };
  const learn = (who: string, name: string, address: string): void =>
    book.names.learn(
      clock.ms,
      guest(who),
      replyBytes(queryBytes(name), { answers: [a(name, address, 60)] }),
    );
  const decide = (
    who: string,
    to: string,
    port: number,
    protocol: DestinationProtocol = 'tcp',
  ): Destination => {
    const words = new Int32Array(4);
    setWords(words, ip(to));
    return destinations.decide(guest(who), protocol, words, 0, protocol === 'icmp' ? 0 : port);
  };
  const test = (
    who: string,
    destination: string,
    protocol: DestinationProtocol = 'tcp',
  ): PolicyVerdictView => live.test({ guest: who, destination, protocol });
  const open = (
    who: string | undefined,
    to: string,
    more: Partial<FlowFacts> = {},
    protocol: 'tcp' | 'udp' | 'icmp' | 'unix' = 'tcp',
  ): { readonly isOpen: boolean } => {
    const owner = who === undefined ? undefined : guest(who);
    const remote = { address: ip(to), port: 443 };
    const source = {
      describeFlow: (): FlowFacts => ({
        ...{ guest: { address: undefined, port: undefined }, remote, openedBy: 'guest' },
        ...{ via: 'net', state: 'established', bytesToHost: 0, bytesToGuest: 0, lastAt: 0 },
        ...more,
      }),
      endFlow: () => {},
    };
    return book.add(protocol, owner, more.names === undefined ? remote.address : undefined, source);
  };
  return {
    ...{ clock, wall, book, policy, destinations, live, blocks, passages, guest },
    ...{ learn, decide, test, open },
  };
}

const maybe = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(one, { nil: undefined });
const NAMES = ['a.test', 'b.test', 'x.w.test', 'w.test'];
const ADDRESSES = ['198.18.0.1', '198.18.0.2', '10.0.0.1', '198.51.100.9', HOST, '192.168.127.1'];
const target = fc.oneof(
  fc.constant({}),
  fc
    .constantFrom('198.18.0.1', '198.18.0.0/24', '10.0.0.0/8', '0.0.0.0/0')
    .map((cidr) => ({ cidr })),
  fc.constantFrom('a.test', 'b.test', '*.w.test').map((name) => ({ name })),
);
const anyRule = fc
  .record({
    action: fc.constantFrom('allow', 'allow', 'deny', 'reject', 'drop'),
    target,
    to: maybe(fc.constantFrom('host', 'gateway', 'guest', 'private', 'outside')),
    port: fc.constantFrom(1, '2-4', '1-4', 443, 53, '50-60', 853),
    protocol: maybe(fc.constantFrom('tcp', 'udp')),
    guest: maybe(fc.constantFrom('one', 'two')),
    isForAll: fc.boolean(),
  })
  .map(({ action, target: of, to, port, protocol, guest, isForAll }) => ({
    [action]: {
      ...of,
      ...(to === undefined ? {} : { to }),
      ...(isForAll && to !== 'host' ? {} : { port }),
      ...(protocol === undefined ? {} : { protocol }),
      ...(guest === undefined ? {} : { guest }),
    },
  }));
const anyDocument = fc.record({
  default: fc.constantFrom('allow', 'deny'),
  rules: fc.array(anyRule, { maxLength: 6 }),
});
const anyLearnt = fc.array(
  fc.tuple(fc.constantFrom('one', 'two'), fc.constantFrom(...NAMES), fc.constantFrom(...ADDRESSES)),
  { maxLength: 6 },
);
const anyProbe = fc.record({
  who: fc.constantFrom('one', 'two'),
  to: fc.constantFrom(...ADDRESSES),
  name: fc.constantFrom(...NAMES),
  port: fc.constantFrom(1, 2, 3, 4, 5, 53, 853),
  protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'icmp' as const),
});

describe('network/policy/live-policy', () => {
  it('a test of an address says what becomes of the flow, and by which rule', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyDocument,
        anyLearnt,
        fc.array(anyProbe, { minLength: 1, maxLength: 6 }),
        async (document, learnt, probes) => {
          const { live, learn, decide, test, blocks, policy } = world();
          for (const one of learnt) learn(...one);
          await live.replace(document);
          for (const { who, to, port, protocol } of probes) {
            const counts = policy.counts.snapshot();
            const said = test(who, `${to}:${port}`, protocol);
            assert.deepEqual([blocks.length, policy.counts.snapshot()], [0, counts]);
            const real = decide(who, to, port, protocol);
            const action = real.kind === 'refused' ? ANSWERS[real.answer] : 'allow';
            assert.equal(said.action, action);
            const rule = blocks.pop()?.rule ?? ('verdict' in real ? real.verdict?.rule : undefined);
            if (rule !== undefined) assert.equal(said.rule, rule);
            assert.equal(said.inspected, 'check' in real && real.check !== undefined);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('a test of a name says what becomes of the question and of the flow that follows', async () => {
    await fc.assert(
      fc.asyncProperty(anyDocument, anyLearnt, anyProbe, async (document, learnt, probe) => {
        const { live, learn, decide, test, policy, guest, book } = world();
        for (const one of learnt) learn(...one);
        await live.replace(document);
        const { who, name, port, protocol } = probe;
        const said = test(who, `${name}:${port}`, protocol);
        const isAsked = policy.judgeName(guest(who), name, 0) === 'allow';
        const pinned = book.names.addressesOf(0, guest(who), name);
        if (pinned.length === 0) learn(who, name, '192.0.2.1');
        const addresses = pinned.length === 0 ? ['192.0.2.1'] : pinned.map(String);
        const passes = addresses.every((address) => {
          const real = decide(who, address, port, protocol);
          if (real.kind === 'refused') return false;
          const check = 'check' in real ? real.check : undefined;
          return check?.onClaim({ by: 'tls', name, hello: undefined }) === undefined;
        });
        assert.equal(said.action === 'allow', isAsked && passes, JSON.stringify(said));
      }),
      { numRuns: 1_000 },
    );
  });

  it('a test: names of ours, guests that are not there, best effort, no policy, nonsense', async () => {
    const { live, test } = world();
    assert.equal(test('', '198.18.0.1:1').rule, 'there is no policy');
    assert.match(test('', '169.254.169.254:80').rule, /no guest may go there/);
    await live.replace({
      default: 'allow',
      rules: [
        { deny: { name: 'a.test' } },
        { deny: { to: 'host', port: 22 } },
        { drop: { guest: 'away', port: 25 } },
      ],
    });
    assert.deepEqual(test('', 'a.test:443'), {
      ...{ action: 'deny', rule: 'deny a.test', index: 0 },
      ...{ bestEffort: true, observed: false, inspected: false },
    });
    assert.equal(test('', 'host.docker.internal:22').action, 'deny');
    assert.equal(test('', 'host.docker.internal:23').action, 'allow');
    assert.deepEqual([test('', 'host:22').action, test('', 'host:23').action], ['deny', 'allow']);
    assert.equal(test('', 'bücher.test:1').action, 'allow');
    assert.deepEqual(
      ['away', 'one'].map((who) => test(who, '198.18.0.1:25').action),
      ['drop', 'allow'],
    );
    await live.replace({ preset: 'offline', mode: 'observe' });
    assert.equal(test('', 'gateway:80').action, 'deny');
    for (const protocol of ['udp', 'tcp'] as const) {
      const { action: ofDns, rule } = test('', '192.168.127.1:53', protocol);
      assert.deepEqual([ofDns, rule], ['allow', 'the DNS of the gateway is always there']);
    }
    const { action, observed } = test('one', 'b.test:1');
    assert.deepEqual([action, observed], ['deny', true]);
    for (const text of [
      'a.test',
      'a.test:0',
      '',
      'a b:1',
      '1.2.3.4:70000',
      'a\0.test:1',
      '127.1:1',
      '0x7f.1:1',
    ]) {
      assert.throws(() => test('', text), { code: 'ERR_HAWSER_POLICY' });
    }
  });

  it('a test for a guest that nobody knows is refused; one that a link or a rule knows may come later', async () => {
    const { live, test } = world();
    const unknown = /No guest has the name or address "on3", and no link, static lease or rule/;
    assert.throws(() => test('on3', '198.18.0.1:25'), unknown);
    await live.replace({ default: 'deny', rules: [{ allow: { guest: 'on2', port: 25 } }] });
    assert.throws(() => test('on3', '198.18.0.1:25'), unknown);
    assert.throws(() => test('10.1.2.3', '198.18.0.1:25'), { code: 'ERR_HAWSER_POLICY' });
    assert.deepEqual(
      ['on2', 'later', 'one', ''].map((who) => test(who, '198.18.0.1:25').action),
      ['allow', 'deny', 'deny', 'deny'],
    );
  });

  it('many rules: guests have their turns while they are compiled, and the policy before holds', async () => {
    const { live, decide, open } = world();
    await live.replace({ default: 'deny', rules: [{ allow: { cidr: '198.18.0.1' } }] });
    const flows = Array.from({ length: 1_000 }, () => open('one', '198.18.0.1'));
    const rules = Array.from({ length: 5_000 }, (_, n) => ({ deny: { port: n + 1 } }));
    let isOver = false;
    let turns = 0;
    const turn = (): void => {
      const { kind } = decide('one', '198.18.0.1', 443);
      assert.ok(
        isOver || turns === 0 || kind === (live.state().generation === 1 ? 'outside' : 'refused'),
      );
      turns++;
      if (!isOver) setImmediate(turn);
    };
    turn();
    const text = JSON.stringify({ default: 'allow', rules });
    const state = await live.replaceText(text);
    isOver = true;
    assert.ok(turns > 20, `${turns} turns`);
    assert.equal(state.generation, 2);
    assert.equal(state.hash, createHash('sha256').update(text).digest('hex'));
    assert.equal(flows.filter(({ isOpen }) => isOpen).length, 0, 'in force when it is answered');
  });

  it('a document that takes long does not replace another than it was meant to', async () => {
    const { live } = world();
    const rules = Array.from({ length: 2_000 }, (_, n) => ({ deny: { port: n + 1 } }));
    const long = live.replaceText(
      JSON.stringify({ default: 'allow', rules }),
      ({ generation }) => generation === 0,
    );
    await new Promise(setImmediate);
    live.clear();
    await assert.rejects(long, { code: 'ERR_HAWSER_POLICY_CONFLICT' });
    assert.equal(live.state().document, null);
    for (const text of ['{', '[]', '1', '{"rules":[{}],"default":"deny"}']) {
      await assert.rejects(live.replaceText(text), { code: 'ERR_HAWSER_POLICY' });
    }
    assert.equal(live.state().generation, 1);
  });

  it('open flows go on by all that was known when they were opened, and by nothing else', async () => {
    const { live, learn, open, clock, policy } = world();
    for (const name of ['a.test', 'b.test']) learn('one', name, '198.18.0.1');
    const verdict = (...allStated: string[]) => ({
      verdict: { rule: 'a rule', stated: allStated.at(-1), allStated },
    });
    const asked = open('one', '198.18.0.1');
    const stated = open('one', '198.18.0.1', verdict('a.test'));
    const both = open('one', '198.18.0.1', verdict('a.test', 'b.test'));
    const other = open('two', '198.18.0.1');
    const datagrams = open('one', '198.18.0.1', { names: ['b.test'] }, 'udp');
    const before = open('one', '198.18.0.2');
    learn('one', 'b.test', '198.18.0.2');
    const channel = open(undefined, '10.0.0.1', { via: 'mux', link: 'agent' });
    const unix = open(
      undefined,
      HOST,
      { via: 'mux', remote: { address: undefined, port: undefined, path: '/s' } },
      'unix',
    );
    const api = open('one', '192.168.127.1', { service: 'guest-api' });
    const dns = open('one', '192.168.127.1', { service: 'dns' });
    const published = open('one', '198.18.0.1', { openedBy: 'host' });
    clock.ms = 3_600_001;
    await live.replace({
      default: 'deny',
      rules: [{ allow: { name: 'b.test' } }, { allow: { cidr: '10.0.0.1', guest: 'agent' } }],
    });
    assert.deepEqual(
      [asked, stated, both, other, datagrams, before, channel, unix, api, dns, published].map(
        ({ isOpen }) => isOpen,
      ),
      [true, false, false, false, true, false, true, false, false, true, true],
    );
    assert.equal(policy.counts.get('flows-ended'), 6);
    await live.replace({
      default: 'deny',
      rules: [{ allow: { name: 'b.test' } }],
      mode: 'observe',
    });
    assert.equal(channel.isOpen, true);
    await live.replace({ default: 'deny', rules: [{ allow: { to: 'gateway' } }] });
    assert.deepEqual([asked.isOpen, channel.isOpen, dns.isOpen], [false, false, true]);
  });

  it('what was denied is listed with what is at the same address, and approved', async () => {
    const { live, learn, decide, test } = world();
    await live.replace({ default: 'deny', rules: [{ allow: { port: 1 } }] });
    learn('one', 'a.test', '198.18.0.1');
    learn('two', 'b.test', '198.18.0.1');
    decide('one', '198.18.0.1', 443);
    decide('one', '10.0.0.1', 5432);
    decide('one', HOST, 22);
    const list = live.denials();
    assert.deepEqual(
      list.map(({ id, guest: who, name, address, port, place, others }) => [
        ...[id, who, name, address, port, place, others.join()],
      ]),
      [
        ['1', 'one', 'a.test', '198.18.0.1', 443, 'outside', 'b.test'],
        ['2', 'one', null, '10.0.0.1', 5432, 'private', ''],
        ['3', 'one', null, HOST, 22, 'host', ''],
      ],
    );
    for (const id of ['1', '2', '3']) await live.approve(id, {});
    assert.equal(test('one', 'a.test:443').action, 'allow');
    assert.equal(test('one', 'a.test:444').action, 'deny');
    assert.equal(test('two', 'a.test:443').action, 'deny');
    assert.equal(test('one', '198.18.0.9:443').action, 'deny');
    assert.equal(test('one', '10.0.0.1:5432').action, 'allow');
    assert.equal(test('one', 'host.docker.internal:22').action, 'allow');
    const scope = { anyGuest: true, port: '8000-8010/tcp', until: '1970-01-01T00:00:01Z' };
    const { document } = await live.approve('1', scope);
    const [first] = (document?.['rules'] ?? []) as unknown[];
    assert.deepEqual(first, {
      allow: { name: 'a.test', port: '8000-8010', protocol: 'tcp', until: scope.until },
    });
    await live.approve('1', { anyGuest: true, anyPort: true });
    assert.equal(test('two', 'a.test:7', 'udp').action, 'allow');
    for (const [id, wrong] of [
      ['9', {}],
      ['x', {}],
      ['1', { port: 'http' }],
      ['1', { until: 'soon' }],
    ] as const) {
      await assert.rejects(live.approve(id, wrong), { code: 'ERR_HAWSER_POLICY' });
    }
    live.close();
  });

  it('a name that was asked for is approved with a port; what was stated is not', async () => {
    const { live, learn, decide, policy, guest, test } = world();
    await live.replace({ default: 'deny', rules: [{ allow: { name: 'a.test' } }] });
    assert.ok(policy.engine);
    policy.denyName(policy.engine, guest('one'), 'b.test', 'default: deny', true);
    await assert.rejects(live.approve('1', {}), /say which/);
    await live.approve('1', { port: '443/tcp' });
    assert.equal(test('one', 'b.test:443').action, 'allow');
    learn('one', 'a.test', '198.18.0.1');
    const to = decide('one', '198.18.0.1', 443);
    assert.ok('check' in to && to.check !== undefined);
    to.check?.onClaim({ by: 'tls', name: 'evil.test', hello: undefined });
    assert.match(live.denials().at(-1)?.why ?? '', /evil\.test was not looked up/);
    await assert.rejects(live.approve('2', {}), /has to agree/);
    policy.denyName(policy.engine, guest('one'), 'a.test', 'not a type', false);
    await assert.rejects(live.approve('3', { port: '443' }), /not a type: no rule for the name/);
  });

  it('rules for what guests do: open flows, and what would have been denied', async () => {
    const { live, learn, decide, open } = world();
    await live.replace({ default: 'deny', mode: 'observe' });
    learn('one', 'a.test', '198.18.0.1');
    open('one', '198.18.0.1');
    open('two', '198.18.0.2', { openedBy: 'host' });
    open('one', HOST, { dialled: '127.0.0.1', remote: { address: ip(HOST), port: 5432 } });
    decide('two', '10.0.0.1', 5353, 'udp');
    decide('two', '10.0.0.1', 53, 'udp');
    open('one', '198.18.0.2', { remote: { address: ip('198.18.0.2'), port: 53 } }, 'udp');
    decide('two', '198.18.0.2', 0, 'icmp');
    decide('two', HOST, 4);
    const rules = (guest: string): readonly unknown[] =>
      live.suggest(guest).document['rules'] as unknown[];
    assert.deepEqual(rules(''), [
      { allow: { cidr: '10.0.0.1', port: 5353, protocol: 'udp' } },
      { allow: { cidr: '198.18.0.2', protocol: 'icmp' } },
      { allow: { name: 'a.test', port: 443, protocol: 'tcp' } },
      { allow: { to: 'host', port: 4, protocol: 'tcp' } },
      { allow: { to: 'host', port: 5432, protocol: 'tcp' } },
    ]);
    assert.deepEqual(rules('one'), [
      { allow: { name: 'a.test', port: 443, protocol: 'tcp', guest: 'one' } },
      { allow: { to: 'host', port: 5432, protocol: 'tcp', guest: 'one' } },
    ]);
    assert.throws(() => live.suggest('nobody'), { code: 'ERR_HAWSER_POLICY' });
    await live.replace({ ...live.suggest('').document });
    assert.equal(decide('two', '10.0.0.1', 5353, 'udp').kind, 'outside');
    assert.equal(decide('two', '10.0.0.1', 53, 'udp').kind, 'dns');
    assert.equal(decide('two', HOST, 4).kind, 'refused');
  });

  it('frames between guests: the question is answered as they are let pass, and a suggestion allows all or none', async () => {
    const { live, test, policy, guest } = world();
    const verdict = (): readonly unknown[] => {
      const { action, rule, index } = test('one', '192.168.127.9:22');
      return [action, rule, index];
    };
    assert.deepEqual(verdict(), ['allow', 'there is no policy', null]);
    await live.replace({ default: 'deny', mode: 'observe' });
    assert.deepEqual(verdict(), ['deny', 'default: deny', null]);
    const engine = policy.engine;
    assert.ok(engine);
    policy.deny(engine, {
      ...{ owner: guest('one'), protocol: 'ip', name: undefined, address: ip('192.168.127.9') },
      ...{ port: 0, place: 'guest', why: 'default: deny', isStated: false, isNeighbor: true },
    });
    assert.deepEqual(live.suggest('one').document['rules'], [{ allow: { to: 'guest' } }]);
    const [{ id } = { id: '' }] = live.denials();
    for (const scope of [{}, { anyGuest: true }, { anyGuest: true, anyPort: true, port: '22' }]) {
      await assert.rejects(live.approve(id, scope), /all guests or between none/);
    }
    await live.approve(id, { anyGuest: true, anyPort: true });
    assert.deepEqual(verdict(), ['allow', 'allow guest', 0]);
    await live.replace({ default: 'deny', rules: [{ allow: { to: 'guest', port: 22 } }] });
    assert.deepEqual(verdict(), ['deny', 'default: deny', null]);
  });

  it('by the multiplexer the question is answered as its targets are opened: not by names, nor by redirection', async () => {
    const { live, test, destinations, guest, learn } = world();
    await live.replace({
      default: 'deny',
      rules: [{ allow: { name: 'a.test' } }, { allow: { cidr: '198.18.0.2', guest: 'agent' } }],
    });
    learn('one', 'a.test', '198.18.0.1');
    const opens = (to: string, port: number): string =>
      destinations.opensTarget(guest('two'), 'tcp', ip(to), port, 'agent') ? 'allow' : 'deny';
    for (const [to, port, expected] of [
      ['198.18.0.1', 443, 'deny'],
      ['198.18.0.1', 53, 'deny'],
      ['198.18.0.2', 443, 'allow'],
      ['198.18.0.2', 853, 'deny'],
    ] as const) {
      const asked = test('agent', `${to}:${port}`).action;
      assert.equal(opens(to, port), expected, `${to}:${port}`);
      assert.equal(asked === 'allow' ? 'allow' : 'deny', expected, `${to}:${port}`);
    }
    assert.equal(test('agent', 'a.test:443').action, 'deny');
    assert.equal(test('one', 'a.test:443').action, 'allow');
  });

  it('a policy that is taken away denies nothing any more', async () => {
    const { live, decide, passages } = world();
    await live.replace({ default: 'deny' });
    assert.equal(decide('one', '198.18.0.1', 443).kind, 'refused');
    assert.throws(() => live.clear(({ generation }) => generation === 7), {
      code: 'ERR_HAWSER_POLICY_CONFLICT',
    });
    const { generation, document } = live.clear();
    assert.deepEqual([generation, document], [2, null]);
    assert.equal(decide('one', '198.18.0.1', 443).kind, 'outside');
    assert.equal(passages.at(-1), 'free');
    await assert.rejects(live.approve('1', {}), { code: 'ERR_HAWSER_POLICY' });
  });

  it('guests are isolated where something is denied, until the time of the rule is over', async () => {
    const { live, passages, clock, open } = world();
    await live.replace({ default: 'allow' });
    await live.replace({ default: 'allow', rules: [{ deny: { to: 'host' } }], mode: 'observe' });
    await live.replace({ default: 'deny' });
    await live.replace({ default: 'deny', rules: [{ allow: { to: 'guest' } }] });
    assert.deepEqual(passages, ['free', 'observed', 'isolated', 'free']);
    const until = new Date(5).toISOString();
    await live.replace({
      default: 'deny',
      rules: [
        { deny: { to: 'guest', until } },
        { allow: { to: 'guest' } },
        { allow: { cidr: '198.18.0.1', until } },
      ],
    });
    const flow = open('one', '198.18.0.1');
    assert.equal(passages.at(-1), 'isolated');
    clock.ms = 5;
    await new Promise<void>((resolve) => {
      const wait = (): void => {
        if (flow.isOpen) setImmediate(wait);
        else resolve();
      };
      wait();
    });
    assert.equal(passages.at(-1), 'free');
    live.close();
  });

  it('a rule whose time is over is none any more: the document, its generation and its hash say so', async () => {
    const { live, clock, policy, test } = world();
    const gone = { allow: { name: '*.a.test', until: new Date(0).toISOString() } };
    const passing = { allow: { cidr: '198.18.0.1', until: new Date(5).toISOString() } };
    const later = { deny: { to: 'host', until: new Date(50_000).toISOString() } };
    const kept = { allow: { cidr: '198.18.0.2' } };
    const before = await live.replace({ default: 'deny', rules: [gone, passing, later, kept] });
    assert.deepEqual(before.document?.['rules'], [passing, later, kept]);
    assert.equal(test('one', '198.18.0.1:443').action, 'allow');
    const engine = policy.engine;
    clock.ms = 5;
    while (policy.engine === engine) await new Promise((resolve) => setImmediate(resolve));
    const after = live.state();
    assert.deepEqual(after.document, { default: 'deny', rules: [later, kept] });
    assert.equal(after.generation, before.generation + 1);
    const text = JSON.stringify(after.document);
    assert.equal(after.hash, createHash('sha256').update(text).digest('hex'));
    const { action, index } = test('one', '198.18.0.2:443');
    assert.deepEqual([action, index], ['allow', 1]);
    await assert.rejects(
      live.replace({ default: 'allow' }, ({ generation }) => generation === before.generation),
      { code: 'ERR_HAWSER_POLICY_CONFLICT' },
    );
    live.close();
  });

  it('a warning goes with its rule', async () => {
    const { live, clock, policy } = world();
    const until = new Date(5).toISOString();
    const before = await live.replace({
      default: 'deny',
      rules: [{ allow: { name: '*.github.io', until } }, { allow: { name: '*.amazonaws.com' } }],
    });
    assert.equal(before.warnings.length, 2);
    const engine = policy.engine;
    clock.ms = 5;
    while (policy.engine === engine) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(live.state().warnings, before.warnings.slice(1));
    live.close();
  });

  it('rules end at their date where the host has slept meanwhile, and flows with them', async () => {
    const { live, clock, wall, test, open } = world();
    const soon = { allow: { cidr: '198.18.0.1', until: new Date(600_000).toISOString() } };
    const later = { allow: { cidr: '198.18.0.2', until: new Date(7_200_000).toISOString() } };
    const before = await live.replace({ default: 'deny', rules: [soon, later] });
    const [flow, other] = [open('one', '198.18.0.1'), open('one', '198.18.0.2')];
    clock.ms = 1_000;
    wall.aheadMs = 3_600_000;
    live.onWallClock();
    while (flow.isOpen) await new Promise((resolve) => setImmediate(resolve));
    const after = live.state();
    assert.deepEqual(after.document, { default: 'deny', rules: [later] });
    assert.equal(after.generation, before.generation + 1);
    const text = JSON.stringify(after.document);
    assert.equal(after.hash, createHash('sha256').update(text).digest('hex'));
    assert.equal(test('one', '198.18.0.1:443').action, 'deny');
    assert.equal(other.isOpen, true);
    clock.ms = 3_599_999;
    assert.equal(test('one', '198.18.0.2:443').action, 'allow');
    clock.ms = 3_600_000;
    assert.equal(test('one', '198.18.0.2:443').action, 'deny');
    live.close();
  });

  it('ends of rules that are not over follow the date: forward and back, with no new generation', async () => {
    const { live, clock, wall, policy, test } = world();
    const rule = { allow: { name: '*.github.io', until: new Date(600_000).toISOString() } };
    const rules = [rule, { allow: { cidr: '198.18.0.1', until: rule.allow.until } }];
    const before = await live.replace({ default: 'deny', rules });
    const endsAt = async (aheadMs: number): Promise<number> => {
      const { engine } = policy;
      wall.aheadMs = aheadMs;
      live.onWallClock();
      while (policy.engine === engine) await new Promise((resolve) => setImmediate(resolve));
      const end = 600_000 - aheadMs;
      const at = (ms: number): string => {
        clock.ms = ms;
        return test('one', '198.18.0.1:443').action;
      };
      assert.deepEqual([at(end - 1), at(end)], ['allow', 'deny']);
      clock.ms = 0;
      return end;
    };
    assert.equal(await endsAt(60_000), 540_000);
    assert.equal(await endsAt(-60_000), 660_000);
    assert.deepEqual(live.state(), before);
    const { engine } = policy;
    wall.aheadMs += 999;
    live.onWallClock();
    await live.replace({ default: 'deny' }, () => policy.engine === engine);
    live.close();
  });

  it('dates of a policy that comes after a sleep are those of then', async () => {
    const { live, clock, wall, policy } = world();
    wall.aheadMs = 3_600_000;
    const until = new Date(3_660_000).toISOString();
    const rules = [{ allow: { cidr: '198.18.0.1', until } }];
    await live.replace({ default: 'deny', rules });
    live.onWallClock();
    const { engine } = policy;
    clock.ms = 59_999;
    await assert.rejects(live.replace({}), { code: 'ERR_HAWSER_POLICY' }); // what was begun before is done
    assert.equal(policy.engine, engine);
    assert.deepEqual(live.state().document, { default: 'deny', rules });
    live.close();
  });
});
