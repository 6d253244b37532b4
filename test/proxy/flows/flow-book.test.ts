import assert from 'node:assert/strict';
import fc from 'fast-check';
import { FaultWatch } from '../../../src/base/faults.ts';
import { SILENT } from '../../../src/base/log.ts';
import { FLOW_PROTOCOLS, type Flow, type FlowFacts } from '../../../src/proxy/flows/flow.ts';
import { FlowBook } from '../../../src/proxy/flows/flow-book.ts';
import { FEED_LIMIT, type FlowEvent } from '../../../src/proxy/flows/flow-feed.ts';
import { a, queryBytes, replyBytes } from '../../services/dns/dns-wire.ts';
import { testGuest } from '../../support/test-guest.ts';
import { GUEST, ip, TestClock } from '../recording.ts';

const facts = (port: number): FlowFacts => ({
  guest: { address: GUEST, port },
  remote: { address: ip('1.2.3.4'), port: 80 },
  openedBy: 'guest',
  via: 'net',
  state: 'active',
  bytesToHost: 1,
  bytesToGuest: 2,
  lastAt: 5,
});

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const answerOf = (name: string, address: string): Uint8Array =>
  replyBytes(queryBytes(name), { answers: [a(name, address)] });

/** A table that owns flows, as the proxies do: bounded, the oldest makes room. */
class Table {
  readonly flows: Flow[] = [];
  private readonly book: FlowBook;
  private readonly limit: number;

  constructor(book: FlowBook, limit: number) {
    this.book = book;
    this.limit = limit;
  }

  open(protocol: (typeof FLOW_PROTOCOLS)[number]): Flow {
    if (this.flows.length === this.limit) this.end(0, 'evicted');
    const flow = this.book.add(protocol, undefined, undefined, {
      describeFlow: () => facts(this.flows.length),
      endFlow: () => this.end(this.flows.indexOf(flow), 'asked'),
    });
    this.flows.push(flow);
    return flow;
  }

  end(at: number, why: string): void {
    const [flow] = at < 0 ? [] : this.flows.splice(at, 1);
    this.book.end(flow, why);
  }
}

describe('proxy/flows/flow-book', () => {
  const protocol = fc.constantFrom(...FLOW_PROTOCOLS);
  const step = fc.oneof(
    fc.record({ kind: fc.constant('open' as const), protocol }),
    fc.record({ kind: fc.constant('end' as const), at: fc.nat(20) }),
    fc.record({ kind: fc.constant('end-twice' as const), at: fc.nat(20) }),
    fc.record({ kind: fc.constant('close' as const), at: fc.nat(20) }),
    fc.record({ kind: fc.constant('close-unknown' as const), id: fc.integer() }),
    fc.record({ kind: fc.constant('list' as const), after: fc.nat(40), n: fc.nat(10) }),
  );

  it('agrees with a model: ids unique and rising, each open ended once, nothing left over', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 80 }),
        fc.integer({ min: 1, max: 9 }),
        async (steps, limit) => {
          const book = new FlowBook(new TestClock());
          const table = new Table(book, limit);
          const events: FlowEvent[] = [];
          book.feed.follow((event) => events.push(event));
          const model = new Map<number, (typeof FLOW_PROTOCOLS)[number]>();
          let lastId = 0;
          const shrink = (): void => {
            for (const id of model.keys())
              if (!table.flows.some((flow) => flow.id === id)) model.delete(id);
          };
          for (const one of steps) {
            switch (one.kind) {
              case 'open': {
                const flow = table.open(one.protocol);
                assert.ok(flow.id > lastId);
                lastId = flow.id;
                model.set(flow.id, one.protocol);
                break;
              }
              case 'end':
                table.end(one.at < table.flows.length ? one.at : -1, 'finished');
                break;
              case 'end-twice': {
                const flow = table.flows[one.at];
                table.end(flow === undefined ? -1 : one.at, 'finished');
                book.end(flow, 'again');
                break;
              }
              case 'close': {
                const id = table.flows[one.at]?.id ?? 0;
                assert.equal(book.close(id), id > 0);
                assert.equal(book.close(id), false, 'it is gone');
                break;
              }
              case 'close-unknown':
                if (!model.has(one.id)) assert.equal(book.close(one.id), false);
                break;
              case 'list': {
                const above = [...model.keys()].filter((id) => id > one.after);
                assert.equal(book.countAfter(one.after), above.length);
                const expected = above.slice(0, one.n);
                assert.deepEqual(
                  book.after(one.after, one.n).map(({ id }) => id),
                  expected,
                );
              }
            }
            shrink();
            assert.deepEqual(
              book.after(0, 1_000).map(({ id }) => id),
              [...model.keys()],
            );
            for (const name of FLOW_PROTOCOLS) {
              assert.equal(book.open[name], [...model.values()].filter((p) => p === name).length);
            }
          }
          while (table.flows.length > 0) table.end(0, 'finished');
          assert.equal(book.size, 0);
          await nextTurn();
          await nextTurn();
          const opened = events.flatMap((event) =>
            event.kind === 'opened' ? [event.flow.id] : [],
          );
          const ended = events.flatMap((event) => (event.kind === 'ended' ? [event.flow.id] : []));
          assert.equal(new Set(opened).size, opened.length);
          assert.deepEqual(
            ended.toSorted((a, b) => a - b),
            opened,
          );
          assert.equal(
            FLOW_PROTOCOLS.reduce((sum, name) => sum + book.opened[name], 0),
            opened.length,
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it('what ended a flow by request is that, whatever its owner says', async () => {
    const book = new FlowBook(new TestClock());
    const ends: string[] = [];
    book.feed.follow((event) => {
      if (event.kind === 'ended') ends.push(event.why);
    });
    const flow = new Table(book, 1).open('udp');
    assert.ok(book.close(flow.id));
    await nextTurn();
    assert.deepEqual(ends, ['ended-by-request']);
  });

  it('a name has its evidence: stated, the only one of its address, or one of several', () => {
    const book = new FlowBook(new TestClock());
    const owner = testGuest();
    const source = { describeFlow: () => facts(1), endFlow: () => {} };
    book.names.learn(0, owner, answerOf('www.example.com', '1.2.3.4'));
    const only = book.add('tcp', owner, ip('1.2.3.4'), source);
    book.names.learn(0, owner, answerOf('other.example.com', '1.2.3.4'));
    const one = book.add('tcp', owner, ip('1.2.3.4'), source);
    const verdict = {
      rule: 'allow *.example.com',
      stated: 'www.example.com',
      allStated: ['www.example.com'],
    };
    const stating = { ...source, describeFlow: () => ({ ...source.describeFlow(), verdict }) };
    const stated = book.add('tcp', owner, ip('1.2.3.4'), stating);
    const nameless = book.add('tcp', testGuest(), ip('1.2.3.4'), source);
    assert.deepEqual(
      [only, one, stated, nameless].map((flow) => {
        const { name, evidence } = book.record(flow);
        return `${name} ${evidence}`;
      }),
      [
        'www.example.com asked',
        'other.example.com inferred',
        'www.example.com sni',
        'undefined undefined',
      ],
    );
  });

  it('a flow has the name that its guest asked for when it was opened, or asks for now', () => {
    const book = new FlowBook(new TestClock());
    const owner = testGuest();
    const source = { describeFlow: () => facts(1), endFlow: () => {} };
    const before = book.add('tcp', owner, ip('1.2.3.4'), source);
    assert.equal(book.record(before).name, undefined);
    book.names.learn(1000, owner, answerOf('www.example.com', '1.2.3.4'));
    assert.equal(book.record(before).name, 'www.example.com');
    const after = book.add('tcp', owner, ip('1.2.3.4'), source);
    book.names.learn(1000, owner, answerOf('other.example.com', '1.2.3.4'));
    assert.equal(book.record(after).name, 'www.example.com');
    assert.equal(book.record(book.add('tcp', testGuest(), ip('1.2.3.4'), source)).name, undefined);
  });

  it('nobody listens: nothing is described', () => {
    const book = new FlowBook(new TestClock());
    const source = {
      describeFlow: (): FlowFacts => assert.fail('described'),
      endFlow: () => {},
    };
    book.end(book.add('tcp', undefined, undefined, source), 'finished');
  });

  it('a listener that throws is reported, and harms neither the flow nor the others', async () => {
    const watch = new FaultWatch(SILENT);
    try {
      const book = new FlowBook(new TestClock());
      const kinds: string[] = [];
      book.feed.follow(() => {
        throw new Error('broken');
      });
      book.feed.follow(({ kind }) => kinds.push(kind));
      new Table(book, 1).open('icmp');
      new Table(book, 1).open('icmp');
      await nextTurn();
      assert.deepEqual(kinds, ['opened', 'opened']);
      assert.equal(watch.counts.get('flow-listener'), 2);
      assert.equal(book.size, 2);
    } finally {
      watch.close();
    }
  });

  it('a listener may end flows, and open others', async () => {
    const book = new FlowBook(new TestClock());
    const table = new Table(book, 9);
    const kinds: string[] = [];
    book.feed.follow((event) => {
      kinds.push(event.kind);
      if (event.kind === 'opened' && event.flow.protocol === 'tcp') {
        book.close(event.flow.id);
        table.open('udp');
      }
    });
    table.open('tcp');
    await nextTurn();
    await nextTurn();
    assert.deepEqual(kinds, ['opened', 'ended', 'opened']);
    assert.deepEqual(
      book.after(0, 9).map(({ protocol }) => protocol),
      ['udp'],
    );
  });

  it('events beyond the limit are counted, and the listener knows how many', async () => {
    const book = new FlowBook(new TestClock());
    let opened = 0;
    let missed = 0;
    const unfollow = book.feed.follow((event) => {
      if (event.kind === 'opened') opened++;
      if (event.kind === 'missed') missed += event.events;
    });
    const table = new Table(book, FEED_LIMIT + 100);
    for (let n = 0; n < FEED_LIMIT + 10; n++) table.open('tcp');
    while (opened < FEED_LIMIT || missed === 0) await nextTurn();
    assert.deepEqual([opened, missed], [FEED_LIMIT, 10]);
    unfollow();
    table.open('tcp');
    await nextTurn();
    assert.equal(opened, FEED_LIMIT);
    assert.equal(book.feed.isFollowed, false);
  });
});
