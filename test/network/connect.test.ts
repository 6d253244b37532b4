import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNetwork } from '../../src/network/create-network.ts';
import type { Network } from '../../src/network/network-interface.ts';
import type { Framing } from '../../src/transports/framing.ts';
import { QEMU_FRAMING, VPNKIT_FRAMING } from '../../src/transports/framing.ts';
import { guestOnStream } from './attached-guest.ts';

const TOKEN = '0123456789abcdef0123456789abcdef';
/** As gvforwarder's Go client writes it. */
const HEAD =
  'HTTP/1.1\r\nHost: gvproxy\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n\r\n';

describe('network: POST /connect', () => {
  let dir = '';
  let network: Network;
  const sockets: Socket[] = [];

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-connect-'));
    network = await createNetwork();
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await network.close();
    rmSync(dir, { recursive: true });
  });

  const client = async (where: string): Promise<Socket> => {
    const [, address, port] = /^tcp:(.*):(\d+)$/.exec(where) ?? [];
    const socket =
      address === undefined
        ? connect(where.slice('unix:'.length))
        : connect({ host: address, port: Number(port) });
    sockets.push(socket);
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  const serveUnix = async (): Promise<string> =>
    (await network.serveApi({ address: `unix:${join(dir, 'api.sock')}` })).where;
  const answerTo = async (where: string, request: string): Promise<string> => {
    const socket = await client(where);
    let said = '';
    socket.on('data', (chunk) => {
      said += chunk;
    });
    socket.write(request);
    await once(socket, 'close');
    return said;
  };

  for (const [query, framing] of [
    ['', VPNKIT_FRAMING],
    ['?framing=hyperkit', VPNKIT_FRAMING],
    ['?framing=qemu', QEMU_FRAMING],
  ] as readonly (readonly [string, Framing])[]) {
    it(`a guest attaches by it: /connect${query}`, async () => {
      const socket = await client(await serveUnix());
      socket.write(`POST /connect${query} ${HEAD}`);
      const { guest } = guestOnStream(socket, framing);
      assert.equal((await guest.lease()).router, '192.168.127.1');
      assert.deepEqual(network.view.info().links, [{ link: 'connect#1', attachedGuests: 1 }]);
      await guest.close();
    });
  }

  it('frames behind the head are not lost', async () => {
    const socket = await client(await serveUnix());
    const frame = Buffer.alloc(62);
    frame.writeUInt16LE(60);
    socket.write(
      Buffer.concat([Buffer.from(`POST /connect ${HEAD}`), frame, frame.subarray(0, 9)]),
    );
    socket.write(frame.subarray(9));
    await new Promise<void>((resolve) => {
      const isThere = (): void => {
        if (network.view.traffic().framesToHost === 2) resolve();
        else setImmediate(isThere);
      };
      isThere();
    });
  });

  it('refuses what it does not know, in HTTP', async () => {
    const where = await serveUnix();
    assert.match(await answerTo(where, `POST /connect?framing=bess ${HEAD}`), /^HTTP\/1\.1 400 /);
    assert.match(await answerTo(where, `POST /connect?x=y ${HEAD}`), /^HTTP\/1\.1 400 /);
    const get = `GET /connect ${HEAD.replace('Content-Length: 0', 'Connection: close')}`;
    assert.match(await answerTo(where, get), /^HTTP\/1\.1 404 /);
    assert.deepEqual(network.view.info().links, []);
  });

  it('over TCP it needs the token, and no web page', async () => {
    const tokenFile = join(dir, 'token');
    writeFileSync(tokenFile, TOKEN, { mode: 0o600 });
    const { where } = await network.serveApi({ address: 'tcp:127.0.0.1:0', tokenFile });
    const local = HEAD.replace('gvproxy', 'localhost');
    const withToken = local.replace('\r\n\r\n', `\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`);
    const fromPage = withToken.replace('\r\n\r\n', '\r\nOrigin: http://evil.example\r\n\r\n');
    assert.match(await answerTo(where, `POST /connect ${local}`), /^HTTP\/1\.1 401 /);
    assert.match(await answerTo(where, `POST /connect ${fromPage}`), /^HTTP\/1\.1 403 /);
    const socket = await client(where);
    socket.write(`POST /connect ${withToken}`);
    const { guest } = guestOnStream(socket, VPNKIT_FRAMING);
    await guest.lease();
    await guest.close();
  });

  it('is closed when there are too many links', async () => {
    const where = await serveUnix();
    for (let i = 0; i < 256; i++) network.attach({ write: () => {} });
    assert.equal(await answerTo(where, `POST /connect ${HEAD}`), '');
    assert.equal(network.view.info().links.length, 256);
  });

  it('is no connection of the API any more: guests leave room for clients', async () => {
    const where = await serveUnix();
    const guests = await Promise.all(Array.from({ length: 40 }, () => client(where)));
    for (const socket of guests) socket.write(`POST /connect ${HEAD}`);
    await new Promise<void>((resolve) => {
      const isThere = (): void => {
        if (network.view.info().links.length === 40) resolve();
        else setImmediate(isThere);
      };
      isThere();
    });
    const request = `GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
    for (let i = 0; i < 70; i++) assert.match(await answerTo(where, request), /^HTTP\/1\.1 200 /);
    assert.equal(network.view.info().links.length, 40);
  });
});
