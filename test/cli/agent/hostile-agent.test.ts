/** Sets of ports of a hostile guest: what it may do to the host and to others, over a real multiplexer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { SILENT } from '../../../src/base/log.ts';
import { parseAnswer } from '../../../src/cli/docker-proxy/exchange.ts';
import { WANTED_MAX } from '../../../src/control/ports/wanted-routes.ts';
import { SETS_OF_LINK } from '../../../src/control/ports/wanted-sets.ts';
import { openNetwork } from '../../../src/network/network.ts';
import type { Network } from '../../../src/network/network-interface.ts';
import { freePort } from '../../support/free-port.ts';
import { optionsIn } from '../fake-network.ts';
import { Pair, turns } from './pair.ts';

const GATEWAY = '192.168.127.1';

interface Answered {
  readonly status: number;
  readonly body: string;
}

describe('a hostile agent', () => {
  let pair: Pair;
  let network: Network;
  const sockets: Socket[] = [];
  const servers: Server[] = [];

  beforeEach(async () => {
    pair = new Pair();
    const path = pair.path('mux.sock');
    network = await openNetwork(
      optionsIn(pair.dir, {
        listen: [],
        mux: { links: [`unix:${path}`], allow: [] },
        guestApi: { enabled: true, bind: ['127.0.0.1:1024-65535', '[::1]:1024-65535'] },
      }),
      SILENT,
    );
    const forward = `unix:${pair.path('api.sock')}=tcp:${GATEWAY}:80`;
    await pair.startAgent('--connect', `unix:${path}`, '--forward-to-host', forward);
    await turns('the multiplexer', () => pair.agent?.peers.current !== undefined);
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    for (const server of servers.splice(0)) server.close();
    await pair.close();
    await network.close();
  });

  const open = (): Socket => {
    const socket = connect({ path: pair.path('api.sock') });
    socket.on('error', () => {});
    sockets.push(socket);
    return socket;
  };
  const send = (socket: Socket, text: string): Promise<Answered | undefined> => {
    let received = Buffer.alloc(0);
    socket.write(text);
    return new Promise((resolve) => {
      const finish = (answer: Answered | undefined): void => {
        socket.off('data', onData);
        socket.off('close', onClose);
        resolve(answer);
      };
      const onClose = (): void => finish(undefined);
      const onData = (part: Buffer): void => {
        received = Buffer.concat([received, part]);
        const answer = parseAnswer(received, false);
        if (answer !== 'more') finish(answer === 'bad' ? undefined : answer);
      };
      socket.on('data', onData);
      socket.once('close', onClose);
    });
  };
  const put = (
    socket: Socket,
    body: object | string,
    method = 'PUT',
  ): Promise<Answered | undefined> => {
    const content = typeof body === 'string' ? body : JSON.stringify(body);
    const head = `${method} /v1/ports HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
    return send(socket, `${head}Content-Length: ${Buffer.byteLength(content)}\r\n\r\n${content}`);
  };
  const hosted = async (host: string): Promise<number> => {
    const server = createServer();
    servers.push(server);
    server.listen(0, host);
    await once(server, 'listening');
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  };
  const ports = () => network.view.ports();
  const wanted = (port: number, host = '127.0.0.1'): string => `${host}:${port}:127.0.0.1:80/tcp`;

  for (const [what, body] of [
    ['no JSON', '\u001b[2J'],
    ['another type', { ports: 'all' }],
    ['an unknown key', { ports: [], all: true }],
    ['numbers', { ports: [8080] }],
    ['no port', { ports: ['\u001b]0;owned\u0007'] }],
    ['a range', { ports: ['127.0.0.1:8000-8010:8000-8010'] }],
    ['a port that is to be picked', { ports: ['127.0.0.1:0:80'] }],
    ['a Unix socket', { ports: ['unix:/tmp/x:192.168.127.2:80'] }],
    ['an SSH forward', { ports: ['unix:/tmp/x:ssh-tunnel://a@192.168.127.2/b?key=/c'] }],
    ['text that is too long', { ports: [`127.0.0.1:8080:${'a'.repeat(200)}:80`] }],
    ['too many', { ports: Array.from({ length: WANTED_MAX + 1 }, () => '127.0.0.1:8080:80') }],
    ['a count that is none', { ports: [], leftOut: -1 }],
    ['bytes without end', `{"ports":["${'x'.repeat(WANTED_MAX * 128)}"]}`],
  ] as const) {
    it(`${what}: refused, nothing is published, and no control character comes back`, async () => {
      const answer = await put(open(), body);
      assert.ok(answer !== undefined && answer.status >= 400 && answer.status < 500);
      assert.doesNotMatch(answer.body, /(?!\n)\p{Cc}/u);
      assert.equal(ports().length, 0);
    });
  }

  it("a place that is not allowed, and one of the host's: it waits, and is said", async () => {
    const taken = await hosted('127.0.0.1');
    const answer = await put(open(), {
      ports: [wanted(80), wanted(taken), wanted(taken, '[::1]'), wanted(8080, '192.0.2.1')],
    });
    assert.equal(answer?.status, 200);
    assert.match(answer.body, /"published":0,"waiting":4/);
    assert.match(answer.body, /--guest-api-bind/);
    assert.equal(ports().length, 0);
  });

  it('what leads elsewhere than through the agent is not published', async () => {
    const answer = await put(open(), { ports: ['127.0.0.1:8080:build:80'] });
    assert.match(answer?.body ?? '', /the agent knows no names/);
    assert.equal(ports().length, 0);
  });

  it('every address of the host is narrowed to the loopback', async () => {
    const port = await freePort();
    await put(open(), { ports: [wanted(port, '*')] });
    assert.deepEqual(
      ports().map(({ hostAddress }) => hostAddress),
      ['localhost'],
    );
  });

  it('flaps: sets cost their turns, the larger the more, and nothing is left', async () => {
    const socket = open();
    const port = await freePort();
    const many = Array.from({ length: WANTED_MAX }, () => wanted(port));
    const begun = performance.now();
    for (let i = 0; i < 6; i++) {
      assert.equal((await put(socket, { ports: many }))?.status, 200);
      assert.equal((await put(socket, { ports: [] }))?.status, 200);
    }
    assert.ok(performance.now() - begun > 1_500, 'twelve thousand ports took their time');
    assert.equal(ports().length, 0);
  });

  it('changes: only of a set that it has, of no more than a set holds, and well formed', async () => {
    const port = await freePort();
    const socket = open();
    const change = (add: readonly string[], remove: readonly string[] = []) =>
      put(socket, { add, remove, leftOut: 0 }, 'PATCH');
    assert.equal((await change([wanted(port)]))?.status, 400);
    assert.equal((await put(socket, { ports: [] }))?.status, 200);
    assert.equal((await change([wanted(port)]))?.status, 200);
    assert.equal(ports().length, 1);
    for (const add of [['\u001b[2J'], ['127.0.0.1:8000-8010:8000-8010']]) {
      assert.equal((await change(add))?.status, 400);
    }
    const full = Array.from({ length: WANTED_MAX }, (_, i) => wanted(2_000 + i, '127.9.9.9'));
    assert.equal((await change(full))?.status, 400);
    assert.equal((await change([], [wanted(port), ...full.slice(1)]))?.status, 200);
    assert.equal(ports().length, 0);
  });

  it('so many sets, and no more', async () => {
    for (let i = 0; i < SETS_OF_LINK; i++) {
      assert.equal((await put(open(), { ports: [] }))?.status, 200);
    }
    assert.equal((await put(open(), { ports: [] }))?.status, 503);
    sockets[0]?.destroy();
    await turns(
      'room for another',
      () => network.view.mux()[0]?.peers[0]?.channels === SETS_OF_LINK,
    );
    assert.equal((await put(open(), { ports: [] }))?.status, 200);
  });
});
