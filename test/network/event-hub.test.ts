import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventRing } from '../../src/control/events/event-ring.ts';
import type { DnsQueryView } from '../../src/control/events/network-events.ts';
import type { FlowEvent } from '../../src/control/flow-view.ts';
import { followersMax } from '../../src/control/waiting-room.ts';
import { EventHub } from '../../src/network/event-hub.ts';
import { emitFlowEvents } from '../../src/network/flow-events.ts';
import { FlowViews } from '../../src/network/flow-views.ts';
import { FlowBook } from '../../src/proxy/flows/flow-book.ts';
import { TCP_FLOW } from '../cli/fake-network.ts';
import { GUEST, TestClock, until } from '../proxy/recording.ts';
import { testGuest } from '../support/test-guest.ts';

const opened = (name: string): FlowEvent => ({
  kind: 'opened',
  flow: { ...TCP_FLOW, name },
  why: null,
});

describe('network/event-hub', () => {
  let hub: EventHub;
  beforeEach(() => {
    hub = new EventHub(new EventRing('e', () => 0), 1);
  });
  afterEach(() => hub.clear());

  it('nobody follows flows at first: not one is made', () => {
    assert.equal(hub.has('flow'), false);
    hub.emit('flow', opened('x'));
    assert.deepEqual(hub.kept(), []);
  });

  it('a listener, a subscriber of the channel and a reader have the same event, without escapes or markup', () => {
    const names: (string | null)[] = [];
    const onMessage = (message: unknown): void => {
      assert.ok(typeof message === 'object' && message !== null && 'event' in message);
      const { event } = message;
      assert.ok(typeof event === 'object' && event !== null && 'flow' in event);
      names.push(JSON.stringify(event.flow));
    };
    subscribe('hawser:flow', onMessage);
    try {
      assert.ok(hub.has('flow'));
      const reader = hub.read(undefined);
      hub.on('flow', ({ flow }) => names.push(JSON.stringify(flow)));
      hub.emit('flow', opened('<img src=x>\u001b]0;owned\u0007'));
      const [kept] = reader?.next(1) ?? [];
      assert.ok(kept?.event.type === 'flow');
      names.push(JSON.stringify(kept.event.flow));
      reader?.close();
    } finally {
      unsubscribe('hawser:flow', onMessage);
    }
    assert.equal(names.length, 3);
    assert.equal(new Set(names).size, 1);
    assert.doesNotMatch(names.join(), /<img|\\u001b|\\u0007/);
  });

  it('after the last reader has gone events are made for a while, and then no more', async () => {
    const reader = hub.read(undefined);
    assert.ok(hub.has('flow'));
    reader?.close();
    reader?.close();
    assert.ok(hub.has('flow'));
    await until(() => !hub.has('flow'));
  });

  it('queries of DNS are made on wish alone: for a reader that wants them, until the last has gone', async () => {
    const query: DnsQueryView = {
      ...{ guestId: 3, guestName: null, guestMac: null, name: 'a.test' },
      ...{ type: 'A', rcode: 'NOERROR', verdict: 'allowed', addresses: [], answers: 0 },
      ...{ source: 'cache', upstream: null, durationMs: 0 },
    };
    const reader = hub.read(undefined);
    assert.ok(!hub.has('dns') && hub.has('flow'));
    const wishing = hub.read(undefined, new Set(['dns']));
    assert.ok(hub.has('dns') && !hub.has('verdict'));
    hub.emit('dns', { kind: 'answered', query });
    assert.deepEqual(
      wishing?.next(9).map(({ event }) => event.type),
      ['dns'],
    );
    wishing?.close();
    reader?.close();
    await until(() => !hub.has('dns'));
  });

  it('there are so many readers and no more, until one has gone', () => {
    const readers = Array.from({ length: followersMax('events') }, () => hub.read(undefined));
    assert.ok(readers.every((reader) => reader !== undefined));
    assert.equal(hub.read(undefined), undefined);
    readers[0]?.close();
    assert.ok(hub.read(undefined));
  });

  it('events agree with the book of flows: 100,000 flows, each opened and ended once, in order', async function () {
    this.timeout(60_000);
    const clock = new TestClock();
    const book = new FlowBook(clock);
    const verdicts = { isWanted: () => false };
    emitFlowEvents(new FlowViews({ book, clock, leases: () => [] }), verdicts, hub);
    const reader = hub.read(undefined);
    assert.ok(reader !== undefined);
    const owner = testGuest();
    const source = {
      describeFlow: () => ({
        ...{ guest: { address: GUEST, port: 1 }, remote: { address: GUEST, port: 2 } },
        ...({ openedBy: 'guest', via: 'net', state: 'active', lastAt: 0 } as const),
        ...{ bytesToHost: 1, bytesToGuest: 2 },
      }),
      endFlow: () => {},
    };
    const open = new Set<string>();
    const totals = { opened: 0, ended: 0, gaps: 0 };
    const read = (): void => {
      for (const { event } of reader.next(100_000)) {
        if (event.type !== 'flow') totals.gaps++;
        else {
          totals[event.kind]++;
          if (event.kind === 'opened') open.add(event.flow.id);
          else assert.ok(open.delete(event.flow.id), 'it was open');
        }
      }
    };
    const FLOWS = 100_000;
    for (let n = 0; n < FLOWS; n += 100) {
      const flows = Array.from({ length: 100 }, () => book.add('udp', owner, undefined, source));
      for (const flow of flows) book.end(flow, 'finished');
      await new Promise((resolve) => setImmediate(resolve));
      read();
    }
    await until(() => {
      read();
      return totals.ended === FLOWS;
    });
    reader.close();
    assert.deepEqual(totals, { opened: book.opened.udp, ended: FLOWS, gaps: 0 });
    assert.equal(open.size, book.size);
  });
});
