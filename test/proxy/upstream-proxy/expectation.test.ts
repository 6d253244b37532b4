import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { OK, RelayLab, until } from './relay-lab.ts';

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';
const HEAD = 'Host: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n';
const PUT = `PUT /x HTTP/1.1\r\n${HEAD}`;
const GET = 'GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n';

describe('proxy/upstream-proxy: Expect: 100-continue', () => {
  let lab: RelayLab;
  let client: Socket;
  beforeEach(async () => {
    lab = await RelayLab.open();
    client = lab.client;
  });
  afterEach(() => lab.close());

  /** @param onHead it has come, and nothing of a body */
  const serve = (onHead: (socket: Socket) => void): void => {
    lab.onBytes = (socket, text) => {
      const last = text.slice(Math.max(text.lastIndexOf('PUT '), text.lastIndexOf('GET ')));
      if (!last.includes('\r\n\r\n')) return;
      if (last.startsWith('GET ') || last.endsWith('abc')) socket.write(OK);
      else if (last.endsWith('\r\n\r\n')) onHead(socket);
    };
  };

  for (const [what, head] of [
    ['a request', PUT],
    ['one for HTTP/2', PUT.replace('Host', 'Connection: Upgrade\r\nUpgrade: h2c\r\nHost')],
  ] as const) {
    it(`is the proxy's to meet: the body of ${what} follows its 100, on a connection that is kept`, async () => {
      let asked: Socket | undefined;
      serve((socket) => {
        asked = socket;
      });
      for (let i = 1; i <= 2; i++) {
        client.write(head);
        await until(() => asked !== undefined);
        assert.match(lab.got[0] ?? '', /\r\nExpect: 100-continue\r\n/);
        assert.equal(lab.said, '');
        asked?.write(CONTINUE + CONTINUE);
        await until(() => lab.said !== '');
        assert.equal(lab.said, CONTINUE);
        client.write(`abc${GET}`);
        await until(() => lab.answers === 3);
        assert.doesNotMatch(lab.said, /close/i);
        [lab.said, asked] = ['', undefined];
      }
      assert.equal(lab.got.length, 1);
    });
  }

  for (const status of [401, 413, 417, 200]) {
    it(`is answered by ${status} in front of the body, and by no 100; nothing can follow`, async () => {
      serve((socket) => socket.write(`HTTP/1.1 ${status} Early\r\nContent-Length: 2\r\n\r\nno`));
      client.write(PUT);
      await once(client, 'end');
      assert.match(lab.said, new RegExp(`^HTTP/1\\.1 ${status} Early\r\n[\\s\\S]*\r\n\r\nno$`));
      assert.match(lab.said, /\r\nConnection: close\r\n/);
      client.end(GET);
      await until(() => lab.sockets.every((socket) => socket.destroyed));
      assert.doesNotMatch(lab.got.join(''), /next/);
    });
  }

  it('is answered by 417 in front of the body of an upgrade that is not granted', async () => {
    lab.onBytes = (socket, text) => {
      const isAsked = text.includes('PUT ');
      socket.write(`HTTP/1.1 ${isAsked ? '417 No\r\nContent-Length: 0' : '200 OK'}\r\n\r\n`);
    };
    client.write(PUT.replace('Host', 'Connection: Upgrade\r\nUpgrade: x\r\nHost'));
    await once(client, 'end');
    assert.match(lab.said, /^HTTP\/1\.1 417 No\r\n/);
    assert.match(lab.got[0] ?? '', /\r\nExpect: 100-continue\r\n/);
  });

  it('that nobody meets: the client sends its body in the end, and the connection is kept', async () => {
    serve(() => {});
    client.write(PUT);
    await until(() => lab.got[0]?.endsWith('\r\n\r\n') === true);
    client.write('ab');
    await until(() => lab.got[0]?.endsWith('ab') === true);
    client.write('c');
    await until(() => lab.answers === 1);
    client.write(GET);
    await until(() => lab.answers === 2);
    assert.doesNotMatch(lab.said, /close|100 Continue/i);
    assert.equal(lab.got.length, 1);
  });

  it('of a client that begins with its body, and is answered in the middle: the next is behind the rest', async () => {
    serve(() => {});
    lab.onBytes = (socket, text) => {
      if (text.endsWith('ab')) socket.write('HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n');
      else if (text.includes('GET')) socket.write(OK);
    };
    client.write(`${PUT}ab`);
    await until(() => lab.answers === 1);
    client.write(`c${GET}`);
    await until(() => lab.answers === 2);
    assert.match(lab.said, /^HTTP\/1\.1 413 [\s\S]*HTTP\/1\.1 200 OK/);
  });

  it('of a client that waits for ever is answered by 504', async () => {
    serve(() => {});
    client.write(PUT);
    await once(client, 'end');
    assert.match(lab.said, /^HTTP\/1\.1 504 [\s\S]*within 200 ms/);
  });

  it('is met for one request after the other', async () => {
    lab.onBytes = (socket, text) => {
      if (text.endsWith('abc')) socket.write(`${CONTINUE}${OK}`);
    };
    client.write(`${PUT}abc${PUT}abc`);
    await until(() => lab.answers === 4);
    assert.match(lab.said, /^HTTP\/1\.1 100 [\s\S]*ok(HTTP\/1\.1 100 [\s\S]*)ok$/);
  });

  it('is none of HTTP/1.0', async () => {
    lab.onBytes = (socket, text) => {
      if (text.endsWith('abc')) socket.write(`${CONTINUE}${OK}`);
    };
    client.write(`PUT /x HTTP/1.0\r\n${HEAD}abc`);
    await until(() => lab.answers === 1);
    assert.doesNotMatch(lab.got[0] ?? '', /Expect/);
    assert.match(lab.said, /^HTTP\/1\.1 200 OK/);
  });

  it('and other expectations are the business of who is asked', async () => {
    lab.onBytes = (socket, text) => {
      socket.write(text.includes('next') ? OK : 'HTTP/1.1 417 Own\r\nContent-Length: 0\r\n\r\n');
    };
    client.write('GET /x HTTP/1.1\r\nHost: a.test\r\nExpect: more\r\n\r\n');
    await until(() => lab.answers === 1);
    assert.match(lab.got[0] ?? '', /\r\nExpect: more\r\n/);
    assert.match(lab.said, /^HTTP\/1\.1 417 Own\r\n/);
    client.write(GET);
    await until(() => lab.answers === 2);
  });
});
