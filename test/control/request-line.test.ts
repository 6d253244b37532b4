import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { serveInTurn } from '../../src/control/request-line.ts';

const REQUEST = 'GET /many HTTP/1.1\r\nHost: x\r\n\r\n';
const BODY = 'x'.repeat(4 * 1024);

describe('control/request-line', () => {
  let server: Server;
  let client: Socket;
  /** Requests that Node has parsed, and those that are served. */
  let parsed: number;
  let served: { readonly path: string; readonly response: ServerResponse }[];
  let answer: (response: ServerResponse) => void;

  beforeEach(async () => {
    parsed = 0;
    served = [];
    answer = (response) => response.end(BODY);
    server = createServer();
    serveInTurn(server, (request, response) => {
      served.push({ path: request.url ?? '', response });
      void read(request).then((body) => {
        if (body === '') answer(response);
        else response.end(body);
      });
    });
    server.on('request', () => parsed++);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    client = connect(address.port, '127.0.0.1');
    client.on('error', () => {});
    await once(client, 'connect');
  });
  afterEach(() => {
    client.destroy();
    server.close();
    server.closeAllConnections();
  });

  async function read(request: IncomingMessage): Promise<string> {
    let text = '';
    for await (const part of request) text += String(part);
    return text;
  }

  /** @returns once nothing has been read or served any more for a while */
  async function settle(): Promise<void> {
    for (let turns = 0, before = -1; turns < 50; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
      const now = parsed + served.length;
      if (now !== before) turns = 0;
      before = now;
    }
  }

  /** @returns the bodies of `count` answers */
  async function bodies(count: number): Promise<string[]> {
    let text = '';
    const found: string[] = [];
    for await (const part of client) {
      text += String(part);
      for (;;) {
        const end = text.indexOf('\r\n\r\n');
        const length = Number(/content-length: (\d+)/i.exec(text)?.[1]);
        if (end < 0 || text.length < end + 4 + length) break;
        found.push(text.slice(end + 4, end + 4 + length));
        text = text.slice(end + 4 + length);
      }
      if (found.length === count) break;
    }
    return found;
  }

  it('a client that sends many requests and reads no answer has one served, and few parsed', async () => {
    answer = () => {};
    client.pause();
    client.write(REQUEST.repeat(3_000));
    await settle();
    assert.equal(served.length, 1);
    assert.ok(parsed < 64, `${parsed} requests were parsed`);
  });

  it('all are answered, in order, once it reads', async () => {
    const paths = Array.from({ length: 3_000 }, (_, i) => `/${i}`);
    answer = (response) => response.end(served.at(-1)?.path);
    client.write(paths.map((path) => REQUEST.replace('/many', path)).join(''));
    assert.deepEqual(await bodies(paths.length), paths);
  });

  it('bodies longer than a part are read, whatever is behind them', async () => {
    const post = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
    client.write(`${post}${post}${REQUEST}`);
    assert.deepEqual(await bodies(3), [BODY, BODY, BODY]);
  });

  it('a client that leaves while it is served is noticed', async () => {
    answer = () => {};
    client.write(REQUEST);
    await settle();
    const response = served[0]?.response;
    assert.ok(response !== undefined);
    client.destroy();
    await once(response, 'close');
  });

  it('one that leaves with requests behind it takes them along', async () => {
    answer = () => {};
    client.write(REQUEST.repeat(3));
    await settle();
    client.resetAndDestroy();
    answer = (response) => response.end();
    served[0]?.response.end();
    await settle();
    assert.ok(served.length <= 3);
    assert.equal(await new Promise((resolve) => server.getConnections((_, n) => resolve(n))), 0);
  });
});
