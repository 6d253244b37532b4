import assert from 'node:assert/strict';
import { Counters } from '../../../src/base/counters.ts';
import { setWords } from '../../../src/base/ip-address.ts';
import type { Block } from '../../../src/proxy/flows/destination.ts';
import { Destinations } from '../../../src/proxy/flows/destinations.ts';
import type { FlowAttempt, FlowGate, GateDenial } from '../../../src/proxy/flows/flow-gate.ts';
import { testGuest } from '../../support/test-guest.ts';
import { addressMap, ip } from '../recording.ts';

const DENIED: GateDenial = { why: 'program', text: 'no' };
const PENDING: GateDenial = { ...DENIED, isPending: true };

describe('proxy/flows: what a gate is asked about', () => {
  const owner = testGuest();
  let denial: GateDenial | undefined;
  let asked: FlowAttempt[];
  let blocks: Block[];
  let refusals: Counters<string>;
  let destinations: Destinations;
  beforeEach(() => {
    denial = undefined;
    asked = [];
    blocks = [];
    refusals = new Counters();
    const ask = (attempt: FlowAttempt): GateDenial | undefined => {
      asked.push(attempt);
      return denial;
    };
    const gate: FlowGate = {
      askTcp: () => assert.fail('whoever holds the SYN asks'),
      askNow: ask,
      askService: ask,
      askClient: () => assert.fail(),
      askClientNow: () => assert.fail(),
    };
    destinations = new Destinations({
      ...{ addresses: addressMap(), isOwnListener: () => false, refusals, gate },
      onBlock: (block) => blocks.push(block),
    });
  });
  const words = (text: string): Int32Array => {
    const made = new Int32Array(4);
    setWords(made, ip(text));
    return made;
  };
  const decide = (protocol: 'tcp' | 'udp' | 'icmp', to = '192.0.2.1', port = 9): string => {
    const target = destinations.decide(owner, protocol, words(to), 0, port);
    return target.kind === 'refused' ? `${target.why} ${target.answer}` : target.kind;
  };

  for (const protocol of ['udp', 'icmp'] as const) {
    it(`${protocol}: each destination that is allowed; a denial is counted and shown`, () => {
      assert.equal(decide(protocol), 'outside');
      assert.equal(asked.length, 1);
      assert.equal(asked[0]?.protocol, protocol);
      denial = DENIED;
      assert.equal(decide(protocol), 'program prohibited');
      assert.deepEqual(refusals.snapshot(), { [`${protocol}-program`]: 1 });
      assert.deepEqual(
        blocks.map(({ why, rule }) => `${why} ${rule}`),
        ['program no'],
      );
    });

    it(`${protocol}: what has no answer yet is dropped, and nobody is told`, () => {
      denial = PENDING;
      assert.equal(decide(protocol), 'program none');
      assert.deepEqual([blocks.length, refusals.snapshot()], [0, {}]);
    });
  }

  it('not what is refused anyway, nor the gateway, nor a connection, whose SYN waits', () => {
    assert.equal(decide('udp', '169.254.169.254'), 'link-local prohibited');
    assert.equal(decide('udp', '192.168.127.1'), 'gateway');
    assert.equal(decide('tcp'), 'outside');
    assert.deepEqual(asked, []);
  });

  it('channels of an agent, at once', () => {
    const opens = (): boolean => destinations.opensTarget(owner, 'tcp', ip('192.0.2.1'), 80, 'mux');
    assert.ok(opens());
    denial = PENDING;
    assert.ok(!opens());
    denial = DENIED;
    assert.ok(!opens());
    assert.equal(asked.length, 3);
    assert.equal(blocks.length, 1);
  });

  it('flows to services, for the record', () => {
    const refuses = (): string | undefined =>
      destinations.refusesServiceFlow(owner, 'udp', words('192.168.127.1'), 0, 9);
    assert.equal(refuses(), undefined);
    denial = { why: 'audit', text: 'no record' };
    assert.equal(refuses(), 'prohibited');
    assert.deepEqual(refusals.snapshot(), { 'udp-audit': 1 });
  });
});
