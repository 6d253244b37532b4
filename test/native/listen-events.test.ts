import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { type ListenWakes, watchListenEvents } from '../../src/native/listen-wakes.ts';
import { loadPosix } from '../../src/native/load.ts';
import type { ListenEvent, ListenEvents } from '../../src/native/posix.ts';
import { describeNeeding } from '../support/requirements.ts';

describeNeeding('native: events of sockets that listen', ['koffi', 'socket-events'], () => {
  let events: ListenEvents;
  let wakes: number;
  let watch: ListenWakes;
  const servers: Server[] = [];
  const listen = async (options: object = {}): Promise<number> => {
    const server = createServer();
    servers.push(server);
    server.listen({ port: 0, host: '127.0.0.1', ...options });
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  };
  const closeAll = async (): Promise<void> => {
    for (const server of servers.splice(0)) {
      server.close();
      await once(server, 'close');
    }
  };
  /** Others of this machine may listen meanwhile. */
  const of = (port: number): ListenEvent[] => {
    const { events: all, isWhole } = events.drain();
    assert.ok(isWhole);
    return all.filter((one) => one.port === port);
  };

  beforeEach(() => {
    events = loadPosix().openListenEvents();
    wakes = 0;
    watch = watchListenEvents(events, () => {
      wakes++;
    });
  });
  afterEach(async () => {
    watch.close();
    await closeAll();
  });

  it('are one when it begins and one when it ends, of the same socket', async () => {
    const port = await listen();
    await closeAll();
    const both = of(port);
    assert.deepEqual(
      both.map(({ kind }) => kind),
      ['begun', 'ended'],
    );
    assert.equal(both[0]?.socket, both[1]?.socket);
    assert.deepEqual(of(port), []);
  });

  it('say how long ago it was', async () => {
    const begin = performance.now();
    const port = await listen();
    const listening = performance.now();
    while (performance.now() - listening < 20) await closeAll();
    const end = performance.now();
    const [{ ageMs: begun } = { ageMs: 0 }] = of(port);
    const atMost = performance.now() - begin;
    assert.ok(begun >= end - listening && begun <= atMost, `${begun} ms of ${atMost}`);
  });

  it('are of IPv6 too', async () => {
    const port = await listen({ host: '::1' });
    assert.equal(of(port)[0]?.kind, 'begun');
  });

  it('are none of connections', async () => {
    const port = await listen();
    of(port);
    for (let i = 0; i < 20; i++) {
      const client = connect(port, '127.0.0.1');
      await once(client, 'connect');
      client.destroy();
      await once(client, 'close');
    }
    assert.deepEqual(of(port), []);
  });

  it('wake once, and again when that is asked for', async () => {
    const turn = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve));
    await listen();
    while (wakes === 0) await turn();
    assert.ok(events.drain().events.length > 0);
    await listen();
    for (let i = 0; i < 50; i++) await turn();
    assert.equal(wakes, 1);
    watch.resume(); // for what was there meanwhile
    while (wakes === 1) await turn();
  });

  it('wake whenever it is that it comes, while it is watched or not', async () => {
    for (let round = 0; round < 300; round++) {
      events.drain();
      wakes = 0;
      const listening = listen();
      if (round % 3 === 0) await listening;
      watch.resume();
      await listening;
      const until = performance.now() + 1_000;
      while (wakes === 0) {
        assert.ok(performance.now() < until, `no wake in round ${round}`);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  });

  it('are in order over the ends of the rings; too many at once are lost, and that is said', async () => {
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 50; i++) await listen();
      await closeAll();
      const { events: all, isWhole } = events.drain();
      assert.ok(isWhole);
      const open = new Set<number>();
      let pairs = 0;
      for (const { kind, socket } of all) {
        if (kind === 'begun') open.add(socket);
        else if (open.delete(socket)) pairs++;
      }
      assert.ok(pairs >= 50, `${pairs}`);
    }
    for (let i = 0; i < 1_500; i++) await listen();
    await closeAll();
    assert.ok(!events.drain().isWhole);
    await listen(); // the kernel says how many
    events.drain();
    of(await listen());
  });
});
