/** A name's addresses are granted before the guest has the answer. */
import assert from 'node:assert/strict';
import { Counters } from '../../../src/base/counters.ts';
import { setWords } from '../../../src/base/ip-address.ts';
import type { Instant } from '../../../src/base/time.ts';
import { readPolicy } from '../../../src/network/policy/policy-document.ts';
import { GatewayDns } from '../../../src/proxy/dns/gateway-dns.ts';
import { Destinations } from '../../../src/proxy/flows/destinations.ts';
import { FlowBook } from '../../../src/proxy/flows/flow-book.ts';
import { DnsPolicy } from '../../../src/proxy/policy/dns-policy.ts';
import { GuestPolicy } from '../../../src/proxy/policy/guest-policy.ts';
import { addressAnswers } from '../../../src/services/dns/address-answers.ts';
import { PolicyEngine } from '../../../src/services/policy/policy-engine.ts';
import type { FlowId } from '../../../src/stack/flow.ts';
import { a, query, queryBytes, replyBytes } from '../../services/dns/dns-wire.ts';
import { testGuest } from '../../support/test-guest.ts';
import { makeForwarder } from '../dns/lab.ts';
import { addressMap, datagram, RecordingDownstream, TestClock } from '../recording.ts';

const NAMES = 10_000;
/** Less than the cache has room for. */
const AT_A_TIME = 500;

/** Connects as soon as it has an answer: the next frame of the guest. */
class Impatient extends RecordingDownstream {
  connect: (address: Int32Array) => void = () => {};

  override sendDatagram(
    now: Instant,
    id: FlowId,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): boolean {
    const words = new Int32Array(4);
    for (const { address } of addressAnswers(bytes.slice(off, off + len))?.addresses ?? []) {
      setWords(words, address);
      this.connect(words);
    }
    return super.sendDatagram(now, id, bytes, off, len);
  }
}

describe('proxy/policy: a connection right behind the answer to its name', () => {
  it(`is allowed, ${NAMES} of ${NAMES}, each of an answer of the cache that another guest has asked for`, () => {
    const clock = new TestClock();
    const book = new FlowBook(clock);
    const policy = new GuestPolicy({
      ...{ clock, names: book.names, namesOf: () => [] },
      ...{ isHost: () => false, isPublished: () => false },
    });
    const document = { default: 'deny', rules: [{ allow: { name: '*.w.test', port: 443 } }] };
    const facts = { isRegistry: () => false, isShared: () => false };
    const { rules } = readPolicy(document, {
      ...{ facts, instantOf: (epochMs: number) => epochMs, unbound: new Set<string>() },
      hosts: [],
    });
    const addresses = addressMap();
    const destinations = new Destinations({
      ...{ addresses, policy, refusals: new Counters<string>(), isOwnListener: () => false },
    });
    const dnsPolicy = new DnsPolicy({ policy, addresses, ourselves: testGuest() });
    const forwarder = makeForwarder({
      ...{ upstreams: [], now: () => clock.now(), policy: dnsPolicy },
    });
    policy.replace(PolicyEngine.of(rules));
    const down = new Impatient();
    const dns = new GatewayDns(forwarder, down, clock, { schedule: () => {} }, book);
    try {
      const outcomes = { allowed: 0, early: 0, denied: 0 };
      for (let from = 0; from < NAMES; from += AT_A_TIME) {
        const [first, second] = [testGuest(), testGuest()];
        const ask = (owner: typeof first, n: number): void => {
          const bytes = queryBytes(`n${n}.w.test`);
          dns.onDatagram(0, { ...datagram(4000, '192.168.127.1', 53, bytes), owner });
        };
        for (let n = from; n < from + AT_A_TIME; n++) {
          const name = `n${n}.w.test`;
          const answers = [a(name, `198.18.${n >> 8}.${n & 255}`, 600)];
          forwarder.cache.put(query(name), replyBytes(queryBytes(name), { answers }), clock.now());
          ask(first, n);
        }
        const isAllowed = (words: Int32Array, owner: typeof first): boolean =>
          destinations.decide(owner, 'tcp', words, 0, 443).kind === 'outside';
        for (let n = from; n < from + AT_A_TIME; n++) {
          const words = new Int32Array([0, 0, 0xffff, 0xc612_0000 + n]);
          if (isAllowed(words, second)) outcomes.early++;
          down.connect = (at) => {
            outcomes[isAllowed(at, second) ? 'allowed' : 'denied']++;
          };
          ask(second, n);
          down.connect = () => {};
        }
      }
      assert.deepEqual(outcomes, { allowed: NAMES, early: 0, denied: 0 });
      assert.equal(down.datagrams.length, 2 * NAMES);
    } finally {
      forwarder.close();
    }
  });
});
