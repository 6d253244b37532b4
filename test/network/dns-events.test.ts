import assert from 'node:assert/strict';
import type { DnsQueryView } from '../../src/control/events/network-events.ts';
import { dnsQueryView } from '../../src/network/dns-events.ts';
import type { DnsForwarder } from '../../src/proxy/dns/forwarder.ts';
import { LocalNames } from '../../src/services/dns/local-names.ts';
import { NXDOMAIN } from '../../src/services/dns/message.ts';
import { errorReply } from '../../src/services/dns/reply.ts';
import { upstreamText } from '../../src/services/dns/upstream-text.ts';
import { FakeUpstream, makeForwarder, resolve } from '../proxy/dns/lab.ts';
import { ip } from '../proxy/recording.ts';
import { a, queryBytes, replyBytes } from '../services/dns/dns-wire.ts';

describe('the log of queries', () => {
  let upstream: FakeUpstream;
  let forwarder: DnsForwarder;
  let views: DnsQueryView[];
  let nowMs = 0;

  beforeEach(async () => {
    views = [];
    nowMs = 1000;
    upstream = await new FakeUpstream((query) => {
      nowMs += 12.34;
      const txt = { type: 'TXT', name: 'www.example', ttl: 60, data: 'y' } as const;
      return [
        replyBytes(query, {
          answers: [a('www.example', '192.0.2.1'), a('www.example', '192.0.2.2'), txt],
        }),
      ];
    }).start();
    const whoIs = (): Pick<DnsQueryView, 'guestId' | 'guestName' | 'guestMac'> => ({
      guestId: 3,
      guestName: 'build',
      guestMac: null,
    });
    forwarder = makeForwarder({
      upstreams: [upstream.server],
      names: new LocalNames({ gateway: [ip('192.168.127.1')], host: [], zones: [] }),
      now: () => nowMs,
      timing: { attemptMs: 20, deadlineMs: 60 },
      policy: {
        refusesUnreadable: true,
        refusal: (_owner, query) =>
          query.name === 'denied.example' ? errorReply(query, NXDOMAIN) : undefined,
        excess: (_owner, query) =>
          query.name === 'excess.example' ? errorReply(query, NXDOMAIN) : undefined,
        sent: ({ bytes }) => bytes,
        police: (_owner, _query, reply) => reply,
        policeKept: (_owner, _query, reply) => reply,
      },
      ask: (_owner, query, answered) =>
        answered(query.name === 'hook.example' ? errorReply(query, NXDOMAIN) : undefined),
      onAnswer: (owner, query, reply, trace) =>
        views.push(dnsQueryView({ whoIs }, owner, query, reply, trace, nowMs)),
    });
  });
  afterEach(() => {
    forwarder.close();
    upstream.stop();
  });

  async function logged(name: string): Promise<DnsQueryView | undefined> {
    await resolve(forwarder, queryBytes(name));
    return views.at(-1);
  }

  it('has who asked for what, what came, from which server, and after how long', async () => {
    assert.deepEqual(await logged('www.example'), {
      ...{ guestId: 3, guestName: 'build', guestMac: null },
      ...{ name: 'www.example', type: 'A', rcode: 'NOERROR', verdict: 'allowed' },
      ...{ addresses: ['192.0.2.1', '192.0.2.2'], answers: 3 },
      ...{ source: 'upstream', upstream: upstreamText(upstream.server), durationMs: 12.3 },
    });
  });

  it('has the cache in place of a server', async () => {
    await logged('www.example');
    const view = await logged('www.example');
    assert.deepEqual(
      [view?.source, view?.upstream, view?.durationMs, view?.answers],
      ['cache', null, 0, 3],
    );
  });

  it('has names of ours, and what the program says', async () => {
    const local = await logged('gateway.hawser.internal');
    assert.deepEqual([local?.source, local?.addresses], ['local', ['192.168.127.1']]);
    const hook = await logged('hook.example');
    assert.deepEqual([hook?.source, hook?.rcode, hook?.verdict], ['hook', 'NXDOMAIN', 'allowed']);
  });

  it('has what the policy denies, and names beyond the rate', async () => {
    for (const name of ['denied.example', 'excess.example']) {
      const view = await logged(name);
      assert.deepEqual(
        [view?.verdict, view?.source, view?.upstream, view?.answers],
        ['denied', null, null, 0],
      );
    }
    assert.equal(upstream.seen.length, 0);
  });

  it('has what nobody answers', async () => {
    upstream.behave = () => [];
    const view = await logged('silent.example');
    assert.deepEqual(
      [view?.rcode, view?.verdict, view?.source, view?.upstream],
      ['SERVFAIL', 'allowed', null, null],
    );
  });
});
