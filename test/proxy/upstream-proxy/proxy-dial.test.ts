import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { HostStream } from '../../../src/native/stream/host-stream.ts';
import { HostLookup } from '../../../src/proxy/host-lookup.ts';
import { ProxyDial } from '../../../src/proxy/upstream-proxy/proxy-dial.ts';
import { openHandshake } from '../../../src/services/upstream-proxy/open-handshake.ts';
import type { ProxyScheme } from '../../../src/services/upstream-proxy/proxy-server.ts';

const OK = 'HTTP/1.1 200 OK\r\n\r\n';

describe('proxy/upstream-proxy: a dial through a proxy', () => {
  let server: Server;
  let sockets: Socket[];
  beforeEach(async () => {
    sockets = [];
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  const dialTo = (
    host: string,
    scheme: ProxyScheme = 'http',
    patienceMs = 5_000,
    names = new HostLookup(),
  ): Promise<{ dial: ProxyDial; stream: HostStream | undefined }> =>
    new Promise((resolve) => {
      const { port } = server.address() as AddressInfo;
      const proxy = { scheme, host, port, credentials: undefined };
      const deps = { names, options: {}, patienceMs };
      const dial: ProxyDial = new ProxyDial(
        ...([deps, proxy, openHandshake(proxy, { host: 'a.test', port: 443 })] as const),
        {
          onConnected: (stream) => resolve({ dial, stream }),
          onConnectFailed: () => resolve({ dial, stream: undefined }),
        },
      );
    });
  const closed = async (socket: Socket | undefined): Promise<void> => {
    if (socket?.closed === false) await new Promise((resolve) => socket.once('close', resolve));
  };
  const answering = (...pieces: readonly (string | Buffer)[]): void => {
    server.once('connection', (socket) => {
      socket.once('data', () => {
        for (const piece of pieces) socket.write(piece);
      });
    });
  };

  it('hands on the stream, paused, and what came behind the answer', async () => {
    answering(`${OK}220 hello`);
    const { dial, stream } = await dialTo('127.0.0.1');
    assert.equal(Buffer.from(dial.early).toString(), '220 hello');
    const got: string[] = [];
    assert.ok(stream !== undefined);
    stream.start({
      onHostBytes: (bytes, len) => got.push(Buffer.from(bytes.subarray(0, len)).toString()) > 0,
      onHostEnd: () => {},
      onHostWritten: () => {},
      onHostClosed: () => {},
    });
    sockets[0]?.write('more');
    while (got.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(got, ['more']);
    stream.reset();
  });

  it('finds the proxy at that of its addresses where it is', async () => {
    answering(OK);
    const names = new HostLookup();
    names.resolve = (_host, onResolved) => onResolved(['127.0.0.77', '::1', '127.0.0.1']);
    const { stream } = await dialTo('proxy.test', 'http', 5_000, names);
    assert.equal(stream?.remoteAddress, '127.0.0.1');
    stream?.reset();
  });

  it('resolves the name of the proxy, and says when it cannot', async () => {
    answering(OK);
    const { stream } = await dialTo('localhost');
    stream?.reset();
    const { dial } = await dialTo('no-such-proxy.invalid');
    assert.match(dial.failure?.text ?? '', /no-such-proxy\.invalid cannot be resolved/);
  });

  const answers: readonly (readonly [string, string | Buffer, RegExp])[] = [
    ['garbage', Buffer.from([1, 2, 3, 255, 254]), /not answer in HTTP/],
    ['a header without an end', `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(20_000)}`, /longer than 16384/],
    ['a refusal', 'HTTP/1.1 403 Forbidden\r\n\r\n', /403 Forbidden/],
  ];
  for (const [what, bytes, text] of answers) {
    it(`fails by ${what}`, async () => {
      answering(bytes);
      const { dial, stream } = await dialTo('127.0.0.1');
      assert.equal(stream, undefined);
      assert.match(dial.failure?.text ?? '', text);
      await closed(sockets[0]);
    });
  }

  it('fails by a proxy of SOCKS that is one of HTTP', async () => {
    answering(OK);
    const { dial } = await dialTo('127.0.0.1', 'socks5');
    assert.match(dial.failure?.text ?? '', /does not speak SOCKS/);
  });

  it('fails when the proxy ends, resets, or is not there', async () => {
    server.once('connection', (socket) => socket.end());
    assert.match((await dialTo('127.0.0.1')).dial.failure?.text ?? '', /without an answer/);
    server.once('connection', (socket) => socket.resetAndDestroy());
    assert.match((await dialTo('127.0.0.1')).dial.failure?.text ?? '', /closed|cannot be reached/);
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    assert.ok(port > 0);
    server.address = () => ({ address: '127.0.0.1', family: 'IPv4', port });
    assert.match((await dialTo('127.0.0.1')).dial.failure?.text ?? '', /ECONNREFUSED/);
  });

  it('waits for a proxy that hangs, or drips, no longer than its patience', async () => {
    const { dial } = await dialTo('127.0.0.1', 'http', 30);
    assert.equal(dial.failure?.code, 'ETIMEDOUT');
    let timer: NodeJS.Timeout | undefined;
    server.once('connection', (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      timer = setInterval(() => socket.write('X: y\r\n'), 5);
    });
    assert.equal((await dialTo('127.0.0.1', 'http', 60)).dial.failure?.code, 'ETIMEDOUT');
    clearInterval(timer);
  });

  it('waits for a proxy of SOCKS that greets not, or by half, or does not reply, no longer than that', async () => {
    const answers = [
      [],
      [[5]],
      [[5, 0]],
      [
        [5, 0],
        [5, 0, 0],
      ],
    ];
    for (const parts of answers) {
      const rest = [...parts];
      server.once('connection', (socket) => {
        socket.on('data', () => void socket.write(Buffer.from(rest.shift() ?? [])));
      });
      const { dial } = await dialTo('127.0.0.1', 'socks5h', 50);
      assert.equal(dial.failure?.code, 'ETIMEDOUT');
      assert.deepEqual(rest, []);
      await closed(sockets.at(-1));
    }
  });

  it('is cancelled without a call', async () => {
    const { port } = server.address() as AddressInfo;
    const proxy = { scheme: 'http', host: '127.0.0.1', port, credentials: undefined } as const;
    let calls = 0;
    const dial = new ProxyDial(
      { names: new HostLookup(), options: {} },
      proxy,
      openHandshake(proxy, { host: 'a.test', port: 443 }),
      { onConnected: () => calls++, onConnectFailed: () => calls++ },
    );
    await once(server, 'connection');
    dial.cancel();
    await closed(sockets[0]);
    assert.equal(calls, 0);
  });
});
