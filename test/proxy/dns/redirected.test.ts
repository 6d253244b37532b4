/** Queries to other resolvers that the gateway's DNS answers: flows of the book, answered from the address that was asked. */
import assert from 'node:assert/strict';
import type { DnsForwarderOptions } from '../../../src/proxy/dns/forwarder.ts';
import { GatewayDns } from '../../../src/proxy/dns/gateway-dns.ts';
import type { FlowEvent } from '../../../src/proxy/flows/flow-feed.ts';
import { a, dataOf, queryBytes, rcodeOf, replyBytes } from '../../services/dns/dns-wire.ts';
import { datagram, flowBook, ip, OWNER, RecordingDownstream, TestClock } from '../recording.ts';
import { FakeUpstream, makeForwarder, until } from './lab.ts';

const RESOLVER = '8.8.8.8';
const VERDICT = { rule: 'elsewhere', stated: undefined, allStated: [] };

function make(options: Partial<DnsForwarderOptions>) {
  const clock = new TestClock();
  const down = new RecordingDownstream();
  const book = flowBook();
  const forwarder = makeForwarder(options);
  const dns = new GatewayDns(forwarder, down, clock, { schedule: () => {} }, book);
  const events: FlowEvent[] = [];
  book.feed.follow((event) => events.push(event));
  const ask = (payload: Uint8Array): void =>
    dns.takeDatagram(clock.now(), datagram(4000, RESOLVER, 53, payload), VERDICT);
  return { clock, down, book, forwarder, dns, events, ask };
}

describe('proxy/dns redirected', () => {
  it('an answer comes from the resolver that was asked, and its addresses are granted', async () => {
    const upstream = await new FakeUpstream((query) => [
      replyBytes(query, { answers: [a('name.example', '192.0.2.9')] }),
    ]).start();
    const { down, book, forwarder, events, ask, clock } = make({ upstreams: [upstream.server] });
    try {
      ask(queryBytes('name.example'));
      const [flow] = book.after(0, 9);
      assert.ok(flow);
      const { facts } = book.record(flow);
      assert.deepEqual(
        [facts.service, facts.remote, facts.verdict?.rule, facts.state, facts.packetsToGuest],
        ['dns', { address: ip(RESOLVER), port: 53 }, 'elsewhere', 'active', 0],
      );
      await until(() => down.datagrams.length > 0);
      const [sent] = down.datagrams;
      assert.deepEqual([sent?.from, sent?.to], ['8.8.8.8:53', '192.168.127.2:4000']);
      assert.deepEqual(dataOf(sent?.bytes), ['192.0.2.9']);
      assert.equal(book.size, 0);
      assert.deepEqual(book.names.all(clock.now(), OWNER, ip('192.0.2.9')), ['name.example']);
      book.feed.settle();
      assert.deepEqual(
        events.map((event) => [event.kind, 'flow' in event ? event.flow.facts.state : '']),
        [
          ['opened', 'active'],
          ['ended', 'answered'],
        ],
      );
    } finally {
      forwarder.close();
      upstream.stop();
    }
  });

  it('a flow that is ended meanwhile gets no answer', async () => {
    const upstream = await new FakeUpstream((query) => [replyBytes(query)]).start();
    const { down, book, forwarder, ask } = make({ upstreams: [upstream.server] });
    try {
      ask(queryBytes('name.example'));
      const [flow] = book.after(0, 1);
      assert.equal(book.close(flow?.id ?? 0), true);
      await until(() => forwarder.waitingCount === 0);
      assert.deepEqual(down.datagrams, []);
      assert.equal(book.size, 0);
    } finally {
      forwarder.close();
      upstream.stop();
    }
  });

  it('what is no query leaves nothing behind, whatever it is', () => {
    const { down, book, forwarder, ask } = make({ upstreams: [] });
    for (const payload of [new Uint8Array(0), new Uint8Array(64), Uint8Array.of(1, 0, 0, 0, 9)]) {
      ask(payload);
    }
    const response = queryBytes('name.example');
    response[2] = 0x80;
    ask(response);
    assert.equal(book.size, 0);
    assert.ok(down.datagrams.every(({ bytes }) => rcodeOf(bytes) !== 0));
    forwarder.close();
  });
});
