/** `GET /v1/events` with real clients. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { SILENT } from '../../../src/base/log.ts';
import { createApiServer } from '../../../src/control/api-server.ts';
import { EventRing } from '../../../src/control/events/event-ring.ts';
import { eventRoutes } from '../../../src/control/events/event-routes.ts';
import { eventSchema, eventsSchema } from '../../../src/control/events/event-schema.ts';
import type { EventsView, StreamEvent } from '../../../src/control/events/network-events.ts';
import { hostAccess } from '../../../src/control/ports/port-access.ts';
import { TCP_FLOW, UDP_FLOW } from '../../cli/fake-network.ts';
import { portTable } from '../../proxy/ports/port-fixture.ts';
import { until } from '../../proxy/recording.ts';
import { itNeeding } from '../../support/requirements.ts';

const UNREAD_MS = 200;

describe('control/events: the stream', () => {
  let ring: EventRing;
  let open = 0;
  let server: Server;
  let url: string;
  let port: number;

  beforeEach(async () => {
    ring = new EventRing('e', () => 0, 1_000);
    open = 0;
    const events: EventsView = {
      kept: (lastId) => ring.kept(lastId),
      read: (lastId) => {
        if (open >= 2) return undefined;
        open++;
        const reader = ring.read(lastId);
        return {
          ...reader,
          close: () => {
            open--;
            reader.close();
          },
        };
      },
    };
    const target = { view: { events }, ports: hostAccess(portTable()) };
    ({ server } = createApiServer<typeof target>(
      {
        routes: eventRoutes({ unreadMs: UNREAD_MS, silentMs: 20 }),
        version: '1',
        refusal: () => undefined,
        target: () => target,
      },
      SILENT,
    ));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    port = address.port;
    url = `http://127.0.0.1:${port}/v1/events`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const add = (id: number): void =>
    ring.add('flow', { kind: 'opened', flow: { ...TCP_FLOW, id: `${id}` }, why: null });

  /** Reads as many events as are wanted, then leaves. */
  async function take(n: number, query = '', lastEventId?: string): Promise<StreamEvent[]> {
    const left = new AbortController();
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const response = await fetch(`${url}${query}`, { headers, signal: left.signal });
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    assert.ok(response.body !== null);
    const found: StreamEvent[] = [];
    let text = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const messages = text.split('\n\n');
      text = messages.pop() ?? '';
      for (const message of messages) {
        const data = /^data: (.*)$/m.exec(message)?.[1];
        if (data === undefined) continue;
        const event = eventSchema().parse(JSON.parse(data));
        assert.equal(/^id: (.*)$/m.exec(message)?.[1], event.id);
        assert.equal(/^event: (.*)$/m.exec(message)?.[1], event.type);
        found.push(event);
      }
      if (found.length >= n) break;
    }
    left.abort();
    return found;
  }

  it('fetch: what happens from now on, and by the header what a client has missed', async () => {
    add(1);
    const first = take(1);
    await until(() => open === 1);
    add(2);
    const [event] = await first;
    assert.equal(event?.id, 'e-2');
    await until(() => open === 0);
    add(3);
    add(4);
    assert.deepEqual(
      (await take(2, '', 'e-2')).map(({ id }) => id),
      ['e-3', 'e-4'],
    );
    assert.deepEqual(
      (await take(2, '?after=e-2')).map(({ id }) => id),
      ['e-3', 'e-4'],
    );
  });

  it('a gap comes first where the ring does not hold what follows the id', async () => {
    for (let n = 0; n < 1_500; n++) add(n);
    const [gap, next] = await take(2, '', 'e-10');
    assert.deepEqual(gap?.type === 'gap' && [gap.why, gap.events], ['overrun', 490]);
    assert.equal(next?.id, 'e-501');
    const [restarted] = await take(1, '', 'before-3');
    assert.ok(restarted?.type === 'gap' && restarted.why === 'restarted');
  });

  it('filters: by type, and flows by the filters of flows', async () => {
    add(1);
    ring.add('flow', { kind: 'opened', flow: UDP_FLOW, why: null });
    ring.add('lease', {
      kind: 'granted',
      lease: {
        ...{ mac: '52:54:00:00:00:01', address: '192.0.2.1' },
        ...{ hostname: 'build', static: false, expiresAt: null },
      },
    });
    assert.deepEqual(
      (await take(1, '?types=lease', 'e-0')).map(({ id }) => id),
      ['e-3'],
    );
    assert.deepEqual(
      (await take(1, '?types=flow&protocol=udp', 'e-0')).map(({ id }) => id),
      ['e-2'],
    );
    const wrong = await fetch(`${url}?types=flows`);
    assert.equal(wrong.status, 400);
    assert.match(await wrong.text(), /guest, lease, port, flow, block/);
    const kept = eventsSchema().parse(await (await fetch(`${url}?follow=false`)).json());
    assert.equal(kept.events.length, 3);
  });

  it('too many clients: the next is told, and there is room once one has left', async () => {
    const left = new AbortController();
    const responses = [
      await fetch(url, { signal: left.signal }),
      await fetch(url, { signal: left.signal }),
    ];
    assert.deepEqual(
      responses.map(({ status }) => status),
      [200, 200],
    );
    assert.equal((await fetch(url)).status, 503);
    left.abort();
    await until(() => open === 0);
  });

  it('a client that never reads is ended', async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    socket.write('GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => open === 1);
    let n = 0;
    const feed = setInterval(() => {
      for (let i = 0; i < 500; i++) add(n++);
    }, 1);
    try {
      await until(() => open === 0);
    } finally {
      clearInterval(feed);
      socket.destroy();
    }
  });

  itNeeding(
    'curl -N: events as they come, plain text whatever a guest put in',
    ['curl'],
    async () => {
      const client = spawn('curl', ['-sN', url], { stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      client.stdout.on('data', (chunk) => {
        text += String(chunk);
      });
      try {
        await until(() => open === 1);
        const flow = { ...TCP_FLOW, name: '\u001b[2J\u009b<script>' };
        ring.add('flow', { kind: 'opened', flow, why: null });
        await until(() => text.includes('data: '));
        await until(() => text.includes(': nothing new'));
      } finally {
        client.kill();
      }
      assert.match(text, /^[\x20-\x7e\n]*$/);
      assert.doesNotMatch(text, /<script>/);
      await until(() => open === 0);
    },
  );
});
