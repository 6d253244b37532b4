import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { OK, RelayLab, until } from './relay-lab.ts';

const WISH = 'Host: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n';
const H2C =
  'Host: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n';
const GRANTED = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n';
const GET = 'GET /next HTTP/1.1\r\nHost: b.test\r\n\r\n';

describe('proxy/upstream-proxy: requests for another protocol', () => {
  let lab: RelayLab;
  let client: Socket;
  beforeEach(async () => {
    lab = await RelayLab.open();
    client = lab.client;
  });
  afterEach(() => lab.close());

  /** Tunnels are granted; what is behind them, and what is not in one, is for `act`. */
  const serve = (act: (socket: Socket, text: string, isTunnel: boolean) => void): void => {
    lab.onBytes = (socket, all) => {
      const isTunnel = all.startsWith('CONNECT ');
      const text = isTunnel ? all.slice(all.indexOf('\r\n\r\n') + 4) : all;
      if (isTunnel && text === '') socket.write('HTTP/1.1 200 OK\r\n\r\n');
      else act(socket, text, isTunnel);
    };
  };

  const bodies: readonly (readonly [what: string, text: string, passed: string])[] = [
    ['no body', `${WISH}\r\n`, ''],
    ['a length', `${WISH}Content-Length: 3\r\n\r\nabc`, 'abc'],
    ['a length of none', `${WISH}Content-Length: 0\r\n\r\n`, ''],
    [
      'chunks',
      `${WISH}Transfer-Encoding: chunked\r\n\r\n2;x="y"\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n`,
      'abc',
    ],
    ['chunks of none', `${WISH}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, ''],
  ];
  const bodyOf = (text: string): string => {
    const [head = '', rest = ''] = split(text);
    if (!/^transfer-encoding: chunked$/im.test(head)) return rest;
    return rest.replaceAll(/(?:^|\r\n)[0-9a-f]+\r\n/g, '').replace(/\r\n$/, '');
  };
  for (const [what, text, passed] of bodies) {
    for (const step of [1, text.length + 20]) {
      it(`have all of it passed on, and then a tunnel: ${what}, ${step} at once`, async () => {
        const request = `POST /x HTTP/1.1\r\n${text}`;
        let body: string | undefined;
        serve((socket, all) => {
          if (body === undefined && isWhole(all)) {
            body = bodyOf(all);
            socket.write(GRANTED);
          } else if (all.endsWith('ping')) socket.write('pong');
        });
        for (let at = 0; at < request.length; at += step) {
          client.write(request.slice(at, at + step));
          if (step === 1) await new Promise((resolve) => setImmediate(resolve));
        }
        await until(() => lab.said.includes('101'));
        assert.equal(body, passed);
        client.write('ping');
        await until(() => lab.said.endsWith('pong'));
        assert.equal(lab.said, `${GRANTED}pong`);
      });
    }

    it(`leave the connection as it was where the host answers otherwise: ${what}`, async () => {
      let body: string | undefined;
      serve((socket, all, isTunnel) => {
        if (isTunnel && isWhole(all)) {
          body = bodyOf(all);
          socket.end('HTTP/1.1 200 OK\r\n\r\nuntil the end');
        } else if (!isTunnel) socket.write(OK);
      });
      client.write(`POST /x HTTP/1.1\r\n${text}${GET}`);
      await until(() => lab.answers === 2);
      assert.equal(body, passed);
      assert.match(
        lab.said,
        /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nd\r\nuntil the end\r\n0\r\n\r\nHTTP\/1\.1 200 OK[\s\S]*ok$/,
      );
      client.write(`POST /x HTTP/1.1\r\n${text}`);
      await until(() => lab.answers === 3);
    });

    it(`are served by HTTP/1.1 where they would go on with HTTP/2: ${what}`, async () => {
      let body: string | undefined;
      serve((socket, all) => {
        if (isWhole(all)) body = bodyOf(all);
        if (isWhole(all) || all.includes('GET ')) socket.write(OK);
      });
      client.write(`POST /x HTTP/1.1\r\n${text.replace(WISH, H2C)}${GET}`);
      await until(() => lab.answers === 2);
      assert.equal(lab.said.match(/ 200 OK/g)?.length, 2);
      assert.equal(body, passed);
      assert.match(lab.got[0] ?? '', /^POST http:\/\/a\.test\/x HTTP\/1\.1\r\nHost: a\.test\r\n/);
      assert.doesNotMatch(lab.got[0] ?? '', /h2c|HTTP2/);
      assert.equal(lab.got.length, 1);
    });
  }

  it('bring what the client sends behind them to the host that grants them, and nobody else', async () => {
    serve((socket, all) => {
      if (all.includes('\r\n\r\nabc') && !all.includes('GET')) socket.write(GRANTED);
    });
    client.write(`POST /x HTTP/1.1\r\n${WISH}Content-Length: 3\r\n\r\nabc${GET}`);
    await until(() => lab.got[0]?.endsWith(`abc${GET}`) === true);
    assert.equal(lab.said, GRANTED);
    assert.equal(lab.got.length, 1);
  });

  for (const [what, framing, parts] of [
    ['a length', 'Content-Length: 6', ['abc', 'def']],
    ['chunks', 'Transfer-Encoding: chunked', ['3\r\nabc\r\n', '3\r\ndef\r\n0\r\n\r\n']],
  ] as const) {
    it(`may be granted before they are whole: the rest is in front of the tunnel, with ${what}`, async () => {
      let isGranted = false;
      serve((socket, all) => {
        if (!isGranted && all.includes('abc')) {
          isGranted = true;
          socket.write(`${GRANTED}early`);
        }
        if (all.endsWith('ping')) socket.write('pong');
      });
      client.write(`POST /x HTTP/1.1\r\n${WISH}${framing}\r\n\r\n${parts[0]}`);
      await until(() => lab.said.endsWith('early'));
      client.write(parts[1]);
      client.write('ping');
      await until(() => lab.said.endsWith('pong'));
      assert.ok(lab.got[0]?.endsWith(`\r\n\r\n${parts.join('')}ping`), lab.got[0]);
    });
  }

  it('may be granted while the host takes no more of them: nothing is lost', async () => {
    const body = 'x'.repeat(20_000_000);
    let host: Socket | undefined;
    let headLen = 0;
    serve((socket, all) => {
      if (!all.includes('\r\n\r\nx')) return;
      host = socket.pause();
      headLen = (lab.got[0]?.indexOf('\r\n\r\nx') ?? 0) + 4;
      lab.onBytes = () => {};
    });
    client.write(`POST /x HTTP/1.1\r\n${WISH}Content-Length: ${body.length}\r\n\r\n${body}`);
    let before = -1;
    while (host === undefined || client.bytesWritten - client.writableLength > before) {
      before = client.bytesWritten - client.writableLength;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    host.write(GRANTED);
    await until(() => lab.said === GRANTED);
    host.resume();
    client.write('ping');
    await until(() => lab.got[0]?.length === headLen + body.length + 4);
    assert.equal(lab.got[0]?.slice(headLen), `${body}ping`);
  });

  it('may be answered before they are whole', async () => {
    serve((socket, all, isTunnel) => {
      if (!isTunnel) socket.write(OK);
      else if (all.endsWith('abc')) socket.write('HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n');
    });
    const rest = `${'x'.repeat(1_000_000)}`;
    client.write(`POST /x HTTP/1.1\r\n${WISH}Content-Length: ${rest.length + 3}\r\n\r\nabc`);
    await until(() => lab.answers === 1);
    client.end(rest);
    await once(client, 'end');
    assert.match(lab.said, /^HTTP\/1\.1 413 No\r\n/);
  });

  it('are waited for by those who ask first (Expect)', async () => {
    serve((socket, all) => {
      if (all.endsWith('abc')) socket.write(GRANTED);
      else if (isWhole(`${all}abc`)) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    });
    client.write(`POST /x HTTP/1.1\r\n${WISH}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`);
    await until(() => lab.said === 'HTTP/1.1 100 Continue\r\n\r\n');
    client.write('abc');
    await until(() => lab.said.endsWith(GRANTED));
  });

  // Node from version 26 on reads it, and does not say that it cannot.
  const isReadHere = Number.parseInt(process.versions.node, 10) < 26;
  const faults: readonly (readonly [string, (socket: Socket) => void])[] = [
    ['cannot be read', (socket) => socket.write('no size\r\n')],
    ['ends in the middle', (socket) => socket.end('5\r\nab')],
  ];
  for (const [what, act] of isReadHere ? faults : []) {
    it(`are answered by 400 where it ${what}`, async () => {
      serve(() => {});
      client.write(`POST /x HTTP/1.1\r\n${WISH}Transfer-Encoding: chunked\r\n\r\n`);
      act(client);
      await once(client, 'end');
      assert.match(lab.said, /^HTTP\/1\.1 400 /);
      client.end();
      await until(() => lab.sockets.every((socket) => socket.destroyed));
    });
  }

  it('end with the client, and with a page where the host ends', async () => {
    serve((socket, all) => {
      if (all.endsWith('abc')) socket.destroy();
    });
    client.write(`POST /x HTTP/1.1\r\n${WISH}Content-Length: 6\r\n\r\nabc`);
    await until(() => lab.answers === 1);
    assert.match(lab.said, /^HTTP\/1\.1 502 [\s\S]*the host has failed/);
    client.destroy();
    await until(() => lab.sockets.every((socket) => socket.destroyed));
  });

  for (const [what, wish] of [
    ['is not granted', WISH],
    ['is not known', H2C],
  ] as const) {
    it(`may come many times where it ${what}: nothing of them stays, and answers are larger than what a client takes at once`, async () => {
      const answer = 'x'.repeat(200_000);
      serve((socket) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${answer}`));
      const [guest, relayed] = duplexPair();
      lab.serve(relayed);
      let got = '';
      guest.on('data', (bytes) => {
        got += String(bytes);
      });
      let before = 0;
      for (let i = 0; i < 25; i++) {
        guest.write(`GET /x HTTP/1.1\r\n${wish}\r\n`);
        await until(() => got.endsWith(answer));
        got = '';
        const listeners = relayed
          .eventNames()
          .reduce((sum, name) => sum + relayed.listenerCount(name), 0);
        if (i === 2) before = listeners;
        if (i > 2) assert.ok(listeners <= before, `${listeners} listeners after ${i} requests`);
      }
      guest.destroy();
    });
  }

  it('are requests like others in HTTP/1.0', async () => {
    serve((socket) => socket.write(OK));
    client.write(`POST /x HTTP/1.0\r\n${WISH}Content-Length: 3\r\n\r\nabc`);
    await once(client, 'end');
    assert.match(lab.said, /^HTTP\/1\.1 200 OK\r\n[\s\S]*ok$/);
    assert.match(lab.got[0] ?? '', /^POST http:\/\/a\.test\/x HTTP\/1\.1\r\n/);
    assert.doesNotMatch(lab.got[0] ?? '', /Upgrade/);
  });
});

const split = (text: string): [string, string] => {
  const at = text.indexOf('\r\n\r\n');
  return at < 0 ? [text, ''] : [text.slice(0, at + 2), text.slice(at + 4)];
};

/** Of a body of three bytes, or none. */
function isWhole(text: string): boolean {
  const [head, body] = split(text);
  if (!text.includes('\r\n\r\n')) return false;
  if (/^transfer-encoding: chunked$/im.test(head)) return body.endsWith('0\r\n\r\n');
  const [, length = '0'] = /^content-length: (\d+)$/im.exec(head) ?? [];
  return body.length === Number(length);
}
