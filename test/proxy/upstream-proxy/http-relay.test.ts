import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { OK, RelayLab, until } from './relay-lab.ts';

describe('proxy/upstream-proxy: requests that are passed on', () => {
  let lab: RelayLab;
  let client: Socket;
  beforeEach(async () => {
    lab = await RelayLab.open();
    client = lab.client;
  });
  afterEach(() => lab.close());

  it('are in absolute form, without fields of the hop, on one connection', async () => {
    client.write(
      'GET /x?y HTTP/1.1\r\nHost: a.test\r\nX-One: 1\r\nConnection: keep-alive, X-Two\r\nX-Two: 2\r\n' +
        'Proxy-Authorization: Basic eA==\r\nTE: trailers\r\nCookie: a\r\nCookie: b\r\n\r\n',
    );
    await until(() => lab.answers === 1);
    client.write('GET / HTTP/1.1\r\nHost: b.test:8080\r\n\r\n');
    await until(() => lab.answers === 2);
    assert.equal(lab.got.length, 1);
    const [one = '', two = ''] = (lab.got[0] ?? '').split('\r\n\r\n');
    assert.match(one, /^GET http:\/\/a\.test\/x\?y HTTP\/1\.1\r\n/);
    assert.match(one, /\r\nX-One: 1\r\nCookie: a\r\nCookie: b/);
    assert.doesNotMatch(one, /X-Two|Proxy-Auth|TE:/);
    assert.match(two, /^GET http:\/\/b\.test\/ HTTP\/1\.1\r\nHost: b\.test:8080\r\n/);
  });

  it('are answered in their order, whichever way they take', async () => {
    client.write(
      ['a.test', 'denied.test', 'free.test', 'b.test']
        .map((host) => `GET /${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
        .join(''),
    );
    await until(() => lab.answers >= 2);
    assert.match(
      lab.said,
      /^HTTP\/1\.1 200 OK[\s\S]*HTTP\/1\.1 403 Forbidden[\s\S]*not \?\[1m here\n$/,
    );
  });

  it('go directly in origin form where the host is excluded', async () => {
    client.write('GET /x HTTP/1.1\r\nHost: free.test\r\n\r\n');
    await until(() => lab.answers === 1);
    client.write('GET /y HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await until(() => lab.answers === 2);
    assert.match(lab.got[0] ?? '', /^GET \/x HTTP/);
    assert.match(lab.got[1] ?? '', /^GET http:\/\/a\.test\/y HTTP/);
  });

  it('are asked again where a kept connection was closed at that moment', async () => {
    client.write('GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await until(() => lab.answers === 1);
    lab.onBytes = (socket, text) => {
      if (text.includes('/first')) socket.resetAndDestroy();
      else socket.write(OK);
    };
    client.write('GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await until(() => lab.answers === 2);
    assert.equal(lab.got.length, 2);
    assert.doesNotMatch(lab.said, /502/);
  });

  const failures: readonly (readonly [string, (socket: Socket) => void])[] = [
    ['garbage', (socket) => socket.write('\x00\x01garbage\r\n\r\n')],
    ['nothing', (socket) => socket.end()],
    ['half a status line', (socket) => socket.end('HTTP/1.1 2')],
    ['a status that there is not', (socket) => socket.write('HTTP/1.1 000 x\r\n\r\n')],
    ['HTTP of before 1.0', (socket) => socket.end('<html>')],
    [
      'a protocol that nobody asked for',
      (socket) => socket.write('HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
    ],
    [
      'a length, and another',
      (socket) =>
        socket.write('HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'),
    ],
    [
      'a head that is too large',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`),
    ],
    [
      'a wish for a password',
      (socket) => socket.write('HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n'),
    ],
  ];
  for (const [what, act] of failures) {
    it(`are answered by 502 where the proxy sends ${what}`, async () => {
      lab.onBytes = act;
      client.write('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc');
      await until(() => lab.answers === 1);
      assert.match(lab.said, /^HTTP\/1\.1 502 Bad Gateway\r\n/);
    });
  }

  const POST = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc';
  const UPGRADE = 'GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';
  const silences: readonly (readonly [string, string, (socket: Socket) => void])[] = [
    ['nothing', 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n', () => {}],
    ['nothing, to a body', POST, () => {}],
    ['half a head', POST, (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Le')],
    ['a head that drips', POST, (socket) => drip(socket)],
    ['nothing to an upgrade, by CONNECT', UPGRADE, () => {}],
    [
      'nothing to an upgrade, once it has granted the tunnel',
      UPGRADE,
      (socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'),
    ],
  ];
  const drip = (socket: Socket): void => {
    socket.write('HTTP/1.1 200 OK\r\n');
    const timer = setInterval(() => socket.write('X: y\r\n'), 20);
    socket.once('close', () => clearInterval(timer));
  };
  for (const [what, text, act] of silences) {
    it(`are answered by 504, and counted, where the proxy sends ${what}`, async () => {
      lab.onBytes = (socket, all) => {
        if (!all.includes('\r\n\r\nGET')) act(socket);
      };
      client.write(text);
      await once(client, 'end');
      assert.match(lab.said, /^HTTP\/1\.1 504 Gateway Timeout\r\n[\s\S]*within 200 ms/);
      assert.deepEqual(lab.counts.slice(-2), ['http-errors', 'timed-out']);
      client.end();
      await until(() => lab.sockets.every((socket) => socket.destroyed));
    });
  }

  it('may be slow on the side of the guest, and have an answer that the proxy announces', async () => {
    lab.onBytes = (socket, text) => {
      if (!text.endsWith('abc')) return;
      const announce = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 50);
      setTimeout(() => {
        clearInterval(announce);
        socket.write(OK);
      }, 400);
    };
    client.write(POST.slice(0, -1));
    await new Promise((resolve) => setTimeout(resolve, 450));
    assert.equal(lab.said, '');
    client.write('c');
    await until(() => lab.said.endsWith('ok'));
    assert.match(lab.said, /^(HTTP\/1\.1 102 Processing\r\n\r\n)+HTTP\/1\.1 200 OK/);
  });

  const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n';
  for (const [what, version, expected] of [
    ['passes on', '1.1', `${HINTS}\r\nHTTP/1.1 200 OK\r\n`],
    ['keeps from a client that does not know them', '1.0', 'HTTP/1.1 200 OK\r\n'],
  ] as const) {
    it(`have answers in front of the last, which the relay ${what}`, async () => {
      const before = `HTTP/1.1 100 Continue\r\n\r\n${HINTS}Keep-Alive: x\r\n\r\n`;
      lab.onBytes = (socket) => socket.write(`${before}${OK}`);
      client.write(`GET / HTTP/${version}\r\nHost: a.test\r\n\r\n`);
      await until(() => lab.said.endsWith('ok'));
      assert.ok(lab.said.startsWith(expected), lab.said);
    });
  }

  it('are answered with a reason that can be written', async () => {
    lab.onBytes = (socket) => socket.write('HTTP/1.1 200 \x01\x1b[1m\r\nContent-Length: 0\r\n\r\n');
    client.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await until(() => lab.answers === 1);
    assert.match(lab.said, /^HTTP\/1\.1 200 \?\?\[1m\r\n/);
  });

  it('are answered where the client has ended behind them', async () => {
    lab.onBytes = (socket, text) => {
      if (text.endsWith('abc')) setTimeout(() => socket.write(OK), 20);
      else if (text.endsWith('\r\n\r\n') && !text.includes('POST')) socket.write(OK);
    };
    client.end(
      'GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n' +
        'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc',
    );
    await once(client, 'end');
    assert.equal(lab.answers, 2);
  });

  it('of a client that has ended wait for an answer no longer than a time', async () => {
    lab.onBytes = () => {};
    client.end('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await new Promise((resolve) => client.once('close', resolve));
    assert.equal(lab.said, '');
    await until(() => lab.sockets.every((socket) => socket.destroyed));
  });

  it('may be answered before they are whole: the next one is behind the rest', async () => {
    lab.onBytes = (socket, text) => {
      if (text.endsWith('abc')) socket.write('HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n');
      else if (text.includes('GET')) socket.write(OK);
    };
    client.write('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000003\r\n\r\nabc');
    await until(() => lab.answers === 1);
    client.write(`${'x'.repeat(1_000_000)}GET / HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    await until(() => lab.answers === 2);
    assert.match(lab.said, /^HTTP\/1\.1 413 [\s\S]*HTTP\/1\.1 200 OK/);
  });

  it('are answered by a proxy that resets the connection behind its answer, whatever is still on its way', async () => {
    for (let i = 1; i <= 10; i++) {
      lab.onBytes = (socket) => {
        lab.onBytes = () => {};
        socket.pause();
        socket.write('HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () =>
          socket.resetAndDestroy(),
        );
      };
      const guest = lab.connect();
      guest.write('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9000000\r\n\r\n');
      guest.write(Buffer.alloc(8_000_000));
      const [answer] = (await once(guest, 'data')) as [Buffer];
      assert.match(answer.toString('latin1'), /^HTTP\/1\.1 413 No\r\n/);
      guest.destroy();
    }
  });

  it('that name no host have one for the proxy', async () => {
    client.write('GET /x HTTP/1.0\r\nX: y\r\n\r\n');
    await until(() => lab.answers === 1);
    assert.match(
      lab.got[0] ?? '',
      /^GET http:\/\/192\.0\.2\.1\/x HTTP\/1\.1\r\nHost: 192\.0\.2\.1\r\nX: y/,
    );
  });

  it('end with a reset where the proxy ends in the middle of an answer', async () => {
    lab.onBytes = (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart');
      setImmediate(() => socket.destroy());
    };
    client.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await once(client, 'close');
    assert.match(lab.said, /part$/);
  });

  it('that cannot be read are answered by 400, and never passed on', async () => {
    client.write('GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\nContent-Length: x\r\n\r\n');
    await until(() => lab.answers === 1);
    assert.match(lab.said, /^HTTP\/1\.1 400 /);
    assert.equal(lab.got.length, 0);
  });

  it('that two servers could read in two ways are refused', async () => {
    client.write('GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n');
    await until(() => lab.answers === 1);
    assert.match(lab.said, /^HTTP\/1\.1 400 [\s\S]*two Host fields/);
    assert.equal(lab.got.length, 0);
  });

  it('wait in a bounded number: a client that sends a thousand at once is reset', async () => {
    lab.onBytes = () => {};
    client.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'.repeat(1_000));
    await new Promise((resolve) => client.once('close', resolve));
    assert.ok(lab.counts.length >= 256);
    assert.equal(lab.got[0]?.match(/GET /g)?.length ?? 1, 1);
  });

  for (const [target, host, passed] of [
    ['*', 'a.test', 'http://a.test'],
    ['http://a.test', 'a.test', 'http://a.test'],
    ['/', 'a.test', 'http://a.test/'],
    ['http://a.test?x', 'a.test', 'http://a.test/?x'],
    ['*', 'free.test', '*'],
    ['http://free.test', 'free.test', '*'],
  ] as const) {
    it(`of OPTIONS for the server itself stay so: ${target} of ${host} is ${passed}`, async () => {
      client.write(`OPTIONS ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      await until(() => lab.answers === 1);
      assert.equal(lab.got[0]?.split('\r\n', 1)[0], `OPTIONS ${passed} HTTP/1.1`);
    });
  }

  it('have the Host of what they ask for', async () => {
    client.write('GET http://a.test:8080/x HTTP/1.1\r\nHost: b.test\r\nX: y\r\n\r\n');
    await until(() => lab.answers === 1);
    assert.match(
      lab.got[0] ?? '',
      /^GET http:\/\/a\.test\/x HTTP\/1\.1\r\nHost: a\.test:8080\r\nX: y\r\n/,
    );
    assert.doesNotMatch(lab.got[0] ?? '', /b\.test/);
  });

  it('that would go on with HTTP/2 are served by HTTP/1.1', async () => {
    client.write(
      'GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n',
    );
    await until(() => lab.answers === 1);
    assert.match(lab.got[0] ?? '', /^GET http:\/\/a\.test\/x HTTP\/1\.1\r\nHost: a\.test\r\n/);
    assert.doesNotMatch(lab.got[0] ?? '', /h2c|HTTP2/);
    client.write('GET /y HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await until(() => lab.answers === 2);
  });

  it('for a proxy of the guest are left to that proxy, in a tunnel', async () => {
    lab.onBytes = (socket, text) => {
      if (text.endsWith('CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n')) {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
      } else socket.write('HTTP/1.1 200 by it\r\n\r\n');
    };
    client.write('CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n');
    await until(() => lab.said.includes('by it'));
    assert.match(
      lab.got[0] ?? '',
      /\r\n\r\nCONNECT b\.test:443 HTTP\/1\.1\r\nHost: b\.test:443\r\n\r\n$/,
    );
  });

  it('for another protocol make a tunnel, which is asked for by CONNECT, behind another request', async () => {
    client.write('GET /before HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await until(() => lab.answers === 1);
    lab.onBytes = (socket, text) => {
      if (text.endsWith('CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n')) {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
      } else if (text.endsWith('ping')) socket.write('pong');
      else
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
        );
    };
    client.write('GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    await until(() => lab.said.includes('101'));
    client.write('ping');
    await until(() => lab.said.endsWith('pong'));
    assert.equal(lab.got.length, 2);
    assert.match(lab.got[1] ?? '', /GET \/ws HTTP\/1\.1\r\n[\s\S]*Upgrade: x/);
  });

  it('say that a tunnel is refused, or that nothing answers', async () => {
    lab.onBytes = (socket) => socket.write('HTTP/1.1 403 No\r\n\r\n');
    client.write('GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    await until(() => lab.answers === 1);
    assert.match(lab.said, /^HTTP\/1\.1 403 [\s\S]*the proxy answers 403 No/);
  });

  it('by CONNECT wait no longer than the patience for a proxy that hangs', async () => {
    lab.onBytes = () => {};
    client.write('CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n');
    await until(() => lab.answers === 1);
    assert.match(lab.said, /^HTTP\/1\.1 504 [\s\S]*does not answer within 200 ms/);
    assert.deepEqual(lab.counts, ['http-errors', 'timed-out']);
  });
});
