import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ApiClient } from '../../src/control/client.ts';
import type { NetworkEvents } from '../../src/control/events/network-events.ts';
import { infoSchema } from '../../src/control/schema.ts';
import { makeFileServer } from '../../src/lab/file-server.ts';
import type { SimulatedGuest } from '../../src/lab/guest/simulated-guest.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import type { Attachment } from '../../src/network/links.ts';
import type { Network } from '../../src/network/network-interface.ts';
import { parsePublish } from '../../src/proxy/ports/publish-text.ts';
import { duplexPair, guestOnStream } from './attached-guest.ts';

const GATEWAY = '192.168.127.1';
const GUEST = '192.168.127.2';
const MAC = '52:54:00:68:77:01';

describe('network/streams', () => {
  let network: Network;
  let guest: SimulatedGuest | undefined;
  let attachment: Attachment;

  const attach = async (): Promise<SimulatedGuest> => {
    const [ours, theirs] = duplexPair();
    attachment = network.attach(ours, { name: 'pair' });
    const made = guestOnStream(theirs).guest;
    guest = made;
    await made.lease();
    await made.ping(GATEWAY); // now it is known by its address
    return made;
  };
  const next = <K extends keyof NetworkEvents>(
    name: K,
    kind: NetworkEvents[K]['kind'],
  ): Promise<NetworkEvents[K]> =>
    new Promise((resolve) => {
      const listener = (event: NetworkEvents[K]): void => {
        if (event.kind !== kind) return;
        network.off(name, listener);
        resolve(event);
      };
      network.on(name, listener);
    });

  beforeEach(async () => {
    network = await createNetwork();
  });
  afterEach(async () => {
    await network.close();
    await guest?.close();
  });

  describe('dial', () => {
    it('connects to a server in the guest, as the gateway', async () => {
      const guest = await attach();
      const port = await guest.serve();
      const connection = await network.dial({ port });
      assert.deepEqual(
        [connection.remoteAddress, connection.remotePort, connection.localAddress],
        [GUEST, port, GATEWAY],
      );
      connection.end('GET / HTTP/1.0\r\n\r\n');
      assert.match(
        await text(connection),
        /^HTTP\/1\.[01] 200 OK\r\n[\s\S]*hello from the guest\n$/,
      );
      assert.equal(network.view.flows().length, 0);
    });

    it('is refused by what the guest does not serve', async () => {
      await attach();
      for (const guest of [GUEST, MAC, MAC.toUpperCase()]) {
        await assert.rejects(network.dial({ port: 9, guest }), { code: 'ECONNREFUSED' });
      }
    });

    it('fails at once where there is no guest, or none can be', async () => {
      await assert.rejects(network.dial({ port: 80 }), { code: 'EHOSTUNREACH' });
      for (const bad of ['10.9.9.9', GATEWAY, '127.0.0.1']) {
        await assert.rejects(network.dial({ port: 80, guest: bad }), { code: 'ERR_HAWSER_DIAL' });
      }
      for (const unknown of ['build', MAC, '-', '']) {
        const dialled = network.dial({ port: 80, guest: unknown });
        await assert.rejects(dialled, { code: 'EHOSTUNREACH', message: /no guest is known as/ });
      }
      for (const port of [0, 65_536, 1.5, Number.NaN]) {
        await assert.rejects(network.dial({ port }), { code: 'ERR_HAWSER_PORT' });
      }
    });

    it('is given up by its signal', async () => {
      await attach();
      const silent = '192.168.127.77';
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      await assert.rejects(network.dial({ port: 80, guest: silent, signal: aborted }), reason);
      const controller = new AbortController();
      const dialled = network.dial({ port: 80, guest: silent, signal: controller.signal });
      controller.abort(reason);
      await assert.rejects(dialled, reason);
    });

    it('ends with the network, while it waits and when it stands', async () => {
      const guest = await attach();
      const connection = await network.dial({ port: await guest.serve() });
      const waiting = network.dial({ port: 80, guest: '192.168.127.77' });
      const ended = once(connection, 'close');
      await Promise.all([network.close(), assert.rejects(waiting, { code: 'ERR_HAWSER_CLOSED' })]);
      await ended;
      await assert.rejects(network.dial({ port: 80 }), { code: 'ERR_HAWSER_CLOSED' });
    });
  });

  describe('listen', () => {
    it('serves guests at the gateway, one connection after the other', async () => {
      const guest = await attach();
      const http = makeFileServer();
      const server = network.listen({ port: 8080 });
      assert.deepEqual([server.address, server.port], [GATEWAY, 8080]);
      const serving = (async () => {
        const clients: (string | undefined)[] = [];
        for await (const connection of server) {
          clients.push(connection.remoteAddress);
          http.emit('connection', connection);
        }
        return clients;
      })();
      for (let i = 0; i < 3; i++) {
        const url = `http://${GATEWAY}:8080/bytes/100000?seed=${i}`;
        assert.equal((await guest.download(url, () => {})).bytes, 100_000);
      }
      server.close();
      assert.deepEqual(await serving, [GUEST, GUEST, GUEST]);
      await assert.rejects(guest.download(`http://${GATEWAY}:8080/bytes/1?seed=1`, () => {}));
    });

    it('connections beyond the backlog are refused, those in it end with the server', async () => {
      const guest = await attach();
      const server = network.listen({ port: 8080, backlog: 1 });
      const get = () => guest.download(`http://${GATEWAY}:8080/bytes/1?seed=1`, () => {});
      const first = assert.rejects(get());
      while (network.view.counters()['stack']?.['accepted'] !== 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      await assert.rejects(get(), /refused|reset/);
      server.close();
      await first;
    });

    it('leaving the loop ends the server, and its place is free', async () => {
      const guest = await attach();
      const server = network.listen({ port: 8080 });
      const got = assert.rejects(guest.download(`http://${GATEWAY}:8080/bytes/1?seed=1`, () => {}));
      for await (const connection of server) {
        connection.destroy();
        break;
      }
      await got;
      network.listen({ port: 8080 }).close();
    });

    it('refuses a place that is taken, or is a guest', () => {
      network.listen({ port: 8080 });
      network.listen({ port: 8080, address: '192.168.127.254' });
      network.listen({ port: 8080, address: '203.0.113.5' });
      for (const [options, code] of [
        [{ port: 8080 }, 'EADDRINUSE'],
        [{ port: 53 }, 'EADDRINUSE'],
        [{ port: 80, address: GUEST }, 'ERR_HAWSER_LISTEN'],
        [{ port: 80, address: 'x' }, 'ERR_HAWSER_LISTEN'],
        [{ port: 0 }, 'ERR_HAWSER_PORT'],
      ] as const) {
        assert.throws(() => network.listen(options), { code });
      }
    });

    it('at 1024 listeners the next one is refused', () => {
      for (let port = 1; port < 1024; port++) {
        if (port !== 53) network.listen({ port });
      }
      network.listen({ port: 2000 }); // with DNS, 1024
      assert.throws(() => network.listen({ port: 2001 }), { code: 'ERR_HAWSER_LIMIT' });
    });

    it('ends with the network', async () => {
      const server = network.listen({ port: 8080 });
      const ended = (async () => {
        for await (const _ of server) assert.fail('a connection');
      })();
      await network.close();
      await ended;
      assert.throws(() => network.listen({ port: 8080 }), { code: 'ERR_HAWSER_CLOSED' });
    });
  });

  describe('publish', () => {
    it('gives the port in use, leads to the guest, and is withdrawn', async () => {
      const guest = await attach();
      const [port, more] = await network.publish(`127.0.0.1:0:${await guest.serve()}`);
      assert.ok(port !== undefined && port.hostPort !== null && more === undefined);
      assert.equal(port.owner, 'library');
      const fetched = await fetch(`http://127.0.0.1:${port.hostPort}/`);
      assert.equal(await fetched.text(), 'hello from the guest\n');
      assert.equal(network.unpublish(port), true);
      assert.equal(network.unpublish(port.id), false);
      const [error] = await once(connect(port.hostPort, '127.0.0.1'), 'error');
      assert.equal(error.code, 'ECONNREFUSED');
    });

    it('takes what parsePublish gives', async () => {
      const [spec] = parsePublish('127.0.0.1:0:80');
      assert.ok(spec !== undefined);
      assert.equal((await network.publish(spec)).length, 1);
    });

    it('is all of the text, or none', async () => {
      const [taken] = await network.publish('127.0.0.1:0:80');
      const last = Number(taken?.hostPort);
      const range = `127.0.0.1:${last - 1}-${last}:80-81`;
      await assert.rejects(network.publish(range), { code: 'EADDRINUSE' });
      assert.deepEqual(
        network.view.ports().map(({ id }) => id),
        [taken?.id],
      );
      await assert.rejects(network.publish('80'), { code: 'ERR_HAWSER_PUBLISH_SYNTAX' });
    });
  });

  describe('events', () => {
    it('say when a guest came and went, and what it was leased', async () => {
      const [leased, attached] = [next('lease', 'granted'), next('guest', 'attached')];
      await attach();
      const { lease } = await leased;
      assert.deepEqual([lease.address, lease.mac, lease.static], [GUEST, MAC, false]);
      const come = (await attached).guest;
      assert.deepEqual([come.mac, come.link], [MAC, 'pair']);
      const detached = next('guest', 'detached');
      await attachment.detach();
      const gone = (await detached).guest;
      assert.deepEqual([gone.mac, gone.link], [MAC, null]);
    });

    it('say which ports come and go', async () => {
      const published = next('port', 'published');
      const [port] = await network.publish('127.0.0.1:0:80');
      assert.deepEqual((await published).port, port);
      const withdrawn = next('port', 'withdrawn');
      network.unpublish(port?.id ?? '');
      assert.deepEqual((await withdrawn).port, port);
    });
  });

  describe('serveApi', () => {
    let dir: string;
    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    });
    afterEach(() => rmSync(dir, { recursive: true }));

    it('serves on a Unix socket of mode 0600, until the network ends', async () => {
      const path = join(dir, 'api.sock');
      const api = await network.serveApi({ address: `unix:${path}`, name: 'mine' });
      assert.equal(api.where, `unix:${path}`);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      const client = new ApiClient({ kind: 'unix', path });
      assert.equal((await client.get('/v1/info', infoSchema)).name, 'mine');
      await network.close();
      await api.close();
      assert.throws(() => statSync(path));
    });

    it('not of a network that is closed, or closes meanwhile', async () => {
      const path = join(dir, 'closed.sock');
      const refused = { code: 'ERR_HAWSER_API_LISTEN', message: /the network is closed/ };
      const serving = assert.rejects(network.serveApi({ address: `unix:${path}` }), refused);
      await Promise.all([network.close(), serving]);
      await assert.rejects(network.serveApi({ address: `unix:${path}` }), refused);
      assert.equal(existsSync(path), false);
    });

    it('over TCP wants a token, and is out of reach of guests', async () => {
      await assert.rejects(network.serveApi({ address: 'tcp:127.0.0.1:0' }), {
        code: 'ERR_HAWSER_OPTIONS',
        message: /tokenFile must name/,
      });
      await assert.rejects(network.serveApi({ address: 'http://x' }), /must be unix:PATH or tcp/);
      const tokenFile = join(dir, 'token');
      writeFileSync(tokenFile, 'a-token-of-some-length', { mode: 0o600 });
      const api = await network.serveApi({ address: 'tcp:127.0.0.1:0', tokenFile });
      const guest = await attach();
      const port = api.where.split(':').at(-1);
      const url = `http://192.168.127.254:${port}/bytes/1?seed=1`;
      await assert.rejects(guest.download(url, () => {}));
      assert.equal(network.view.counters()['refusals']?.['tcp-own-listener'], 1);
      await api.close();
    });
  });

  it('closes once, and again is the same', async () => {
    const closing = network.close();
    assert.equal(network.close(), closing);
    await closing;
    await network[Symbol.asyncDispose]();
  });

  it('a program without types that gives no options, or no listener, is told so', async () => {
    const call = (method: 'dial' | 'listen' | 'serveApi' | 'on', ...args: unknown[]): unknown =>
      Reflect.apply(network[method], network, args);
    const rejected = async (method: 'dial' | 'serveApi', code: string): Promise<void> => {
      const why = { code, message: /options must be an object, got undefined$/ };
      await assert.rejects(async () => await call(method), why);
    };
    await rejected('dial', 'ERR_HAWSER_DIAL');
    await rejected('serveApi', 'ERR_HAWSER_OPTIONS');
    const served = { address: 'unix:/x', bind: 'x', onShutdown: 5, tokenFile: 5, name: 5 };
    await assert.rejects(async () => await call('serveApi', served), {
      code: 'ERR_HAWSER_OPTIONS',
      message: [
        'tokenFile must be a text, got 5',
        'name must be a text, got 5',
        'bind must be a list of texts, got "x"',
        'onShutdown must be a function, got 5',
      ].join('\n'),
    });
    assert.throws(() => call('listen'), { code: 'ERR_HAWSER_LISTEN' });
    const unheard = [
      [['guest'], /^the listener of guest must be a function, got undefined$/],
      [['guests', () => {}], /^event "guests" is not known: there are guest, lease, /],
    ] as const;
    for (const [args, message] of unheard) {
      assert.throws(() => call('on', ...args), { code: 'ERR_HAWSER_OPTIONS', message });
    }
  });
});
