import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { ipv4 } from '../../../src/base/ip-address.ts';
import { type Admits, type Listening, listen } from '../../../src/cli/docker-proxy/listening.ts';
import { forwardUdp } from '../../../src/cli/docker-proxy/udp-forwarder.ts';
import { loadPosix } from '../../../src/native/load.ts';
import { PORT_ZERO, sendFromPortZero } from '../../support/port-zero.ts';
import { itNeeding } from '../../support/requirements.ts';
import { until } from '../../system/support/until.ts';

const ANY = ipv4(0);
const AT = { address: '127.0.0.1', port: 0 };

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('docker-proxy: TCP to the container', () => {
  let listening: Listening;
  let server: Server;
  let serve: (socket: Socket) => void;

  beforeEach(async () => {
    serve = (socket) => socket.pipe(socket);
    server = createServer({ allowHalfOpen: true }, (socket) => serve(socket));
    server.listen(AT.port, AT.address);
    await once(server, 'listening');
    listening = await listen('tcp', AT, { address: AT.address, port: portOf(server) });
  });
  afterEach(() => {
    listening.close();
    server.close();
  });

  const client = (): Socket =>
    connect({ port: listening.port, host: AT.address, allowHalfOpen: true });
  /** To the end of what comes; the other direction stays as it is. */
  const everything = (socket: Socket): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.once('end', () => resolve(Buffer.concat(chunks)));
      socket.once('error', reject);
    });
  const errorOf = (socket: Socket): Promise<unknown> =>
    new Promise((resolve) => {
      socket.once('error', (error) => resolve('code' in error ? error.code : error));
      socket.once('end', () => resolve('end'));
      socket.resume();
    });

  it('4 MiB there and back, through an end that is only the one direction', async () => {
    const sent = Buffer.alloc(4 << 20);
    for (let i = 0; i < sent.length; i++) sent[i] = (i * 31) >>> 7;
    const socket = client();
    socket.end(sent);
    assert.ok((await everything(socket)).equals(sent));
  });

  it('the container ends first, and still gets what the client sends', async () => {
    const got = new Promise<string>((resolve) => {
      serve = (socket) => {
        socket.end('bye');
        everything(socket).then((bytes) => resolve(bytes.toString()), resolve);
      };
    });
    const socket = client();
    assert.equal((await everything(socket)).toString(), 'bye');
    socket.end('after the end');
    assert.equal(await got, 'after the end');
  });

  it("the container's reset is a reset for the client", async () => {
    serve = (socket) => socket.resetAndDestroy();
    assert.equal(await errorOf(client()), 'ECONNRESET');
  });

  it("the client's reset is a reset for the container", async () => {
    const got = new Promise((resolve) => {
      serve = (socket) => {
        resolve(errorOf(socket));
        socket.write('x');
      };
    });
    const socket = client();
    await once(socket, 'data');
    socket.resetAndDestroy();
    assert.equal(await got, 'ECONNRESET');
  });

  it('a container that refuses resets the client', async () => {
    server.close();
    await once(server, 'close');
    assert.equal(await errorOf(client()), 'ECONNRESET');
  });

  itNeeding('a client of IPv6 reaches a container that has IPv4 alone', ['ipv6'], async () => {
    const dual = await listen('tcp', { address: '::', port: 0 }, { ...AT, port: portOf(server) });
    const socket = connect({ port: dual.port, host: '::1' });
    socket.end('hello');
    assert.equal(String(await everything(socket)), 'hello');
    dual.close();
  });

  it('close resets those that are served', async () => {
    const socket = client();
    socket.write('x');
    await once(socket, 'data');
    const error = errorOf(socket);
    listening.close();
    assert.equal(await error, 'ECONNRESET');
    assert.equal(await errorOf(client()), 'ECONNREFUSED');
  });

  it('whom it does not admit is reset', async () => {
    const none: Admits = () => false;
    const guarded = await listen('tcp', AT, { address: AT.address, port: portOf(server) }, none);
    const error = await errorOf(connect(guarded.port, AT.address));
    guarded.close();
    assert.equal(error, 'ECONNRESET');
  });
});

describe('docker-proxy: UDP to the container', () => {
  const sockets: UdpSocket[] = [];
  const closers: Listening[] = [];

  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close();
    for (const listening of closers.splice(0)) listening.close();
  });

  const udp = async (): Promise<UdpSocket> => {
    const socket = createSocket('udp4');
    sockets.push(socket);
    socket.bind(0, AT.address);
    await once(socket, 'listening');
    return socket;
  };
  const forward = async (container: UdpSocket, admits?: Admits): Promise<Listening> => {
    const target = { address: AT.address, port: container.address().port };
    const listening = await listen('udp', AT, target, admits);
    closers.push(listening);
    return listening;
  };
  const ask = async (socket: UdpSocket, port: number, text: string): Promise<string> => {
    socket.send(text, port, AT.address);
    const [bytes] = await once(socket, 'message');
    return String(bytes);
  };

  it('the container can distinguish clients, and each gets its answers', async () => {
    const container = await udp();
    const seen = new Set<number>();
    container.on('message', (bytes, peer) => {
      seen.add(peer.port);
      container.send(`${bytes}!`, peer.port, peer.address);
    });
    const { port } = await forward(container);
    const [one, two] = [await udp(), await udp()];
    assert.deepEqual(await Promise.all([ask(one, port, 'one'), ask(two, port, 'two')]), [
      'one!',
      'two!',
    ]);
    assert.equal(await ask(one, port, 'again'), 'again!');
    assert.equal(seen.size, 2);
  });

  for (const how of ['bound here', 'bound by dockerd'] as const) {
    const name = `on a wildcard ${how}, answers come from the address that was asked`;
    itNeeding(name, how === 'bound here' ? [] : ['koffi'], async () => {
      const container = await udp();
      container.on('message', (bytes, peer) => container.send(bytes, peer.port, peer.address));
      const target = { address: AT.address, port: container.address().port };
      const at = { address: '0.0.0.0', port: 0 };
      const bound =
        how === 'bound here' ? at : { ...at, ...loadPosix().openDatagramSocket(ANY, 0, false) };
      const listening = await listen('udp', bound, target);
      closers.push(listening);
      const addresses = Object.values(networkInterfaces()).flatMap((entries = []) => entries);
      for (const { address, family } of addresses) {
        if (family !== 'IPv4') continue;
        const client = createSocket('udp4');
        sockets.push(client);
        client.connect(listening.port, address);
        await once(client, 'connect');
        const answered = once(client, 'message');
        client.send(`to ${address}`);
        const [bytes] = await answered;
        assert.equal(String(bytes), `to ${address}`);
      }
    });
  }

  itNeeding(
    'a client of IPv6 has answers of a container that has IPv4 alone',
    ['ipv6'],
    async () => {
      const container = await udp();
      container.on('message', (bytes, peer) => container.send(bytes, peer.port, peer.address));
      const target = { address: AT.address, port: container.address().port };
      const listening = await listen('udp', { address: '::', port: 0 }, target);
      closers.push(listening);
      const client = createSocket('udp6');
      sockets.push(client);
      client.connect(listening.port, '::1');
      await once(client, 'connect');
      client.send('hello');
      const [bytes] = await once(client, 'message');
      assert.equal(String(bytes), 'hello');
    },
  );

  it("a client's flow lives while either side sends, and ends when both are silent", async () => {
    const idleMs = 60;
    const container = await udp();
    const seen: number[] = [];
    let timer: NodeJS.Timeout | undefined;
    container.on('message', (_bytes, peer) => {
      seen.push(peer.port);
      timer ??= setInterval(() => container.send('x', peer.port, peer.address), 5);
    });
    const target = { address: AT.address, port: container.address().port };
    const listening = forwardUdp(AT, target, undefined, idleMs);
    closers.push(listening);
    const client = await udp();
    client.send('first', listening.port, AT.address);
    const began = performance.now();
    await until('answers for longer than the idle time', async () => {
      await once(client, 'message');
      return performance.now() - began > 4 * idleMs ? true : undefined;
    });
    client.send('second', listening.port, AT.address);
    await until('it', () => (seen.length === 2 ? true : undefined));
    assert.equal(seen[1], seen[0]);
    clearInterval(timer);
    await until('another flow', async () => {
      const n = seen.length;
      await new Promise((resolve) => setTimeout(resolve, 2 * idleMs)); // what is sent sooner keeps it
      client.send('third', listening.port, AT.address);
      await until('it', () => seen.length > n);
      return seen[n] !== seen[0];
    });
  });

  itNeeding('a datagram from port 0 does not reach the container', PORT_ZERO, async () => {
    const container = await udp();
    const got: string[] = [];
    container.on('message', (bytes, peer) => {
      got.push(String(bytes));
      container.send(bytes, peer.port, peer.address);
    });
    const { port } = await forward(container);
    sendFromPortZero(port, 'from port 0');
    assert.equal(await ask(await udp(), port, 'from a port'), 'from a port');
    assert.deepEqual(got, ['from a port']);
  });

  it('a container that does not listen yet is no end of it', async () => {
    const container = await udp();
    const { port } = container.address();
    const listening = await forward(container);
    container.close();
    sockets.splice(sockets.indexOf(container), 1);
    const client = await udp();
    client.send('lost', listening.port, AT.address);
    const later = createSocket('udp4');
    sockets.push(later);
    later.bind(port, AT.address);
    await once(later, 'listening');
    later.on('message', (bytes, peer) => later.send(bytes, peer.port, peer.address));
    const timer = setInterval(() => client.send('found', listening.port, AT.address), 5);
    const [bytes] = await once(client, 'message');
    clearInterval(timer);
    assert.match(String(bytes), /found|lost/);
  });

  it('whom it does not admit is not heard', async () => {
    const container = await udp();
    const heard: string[] = [];
    container.on('message', (bytes, peer) => {
      heard.push(String(bytes));
      container.send(bytes, peer.port, peer.address);
    });
    let admitted = false;
    const { port } = await forward(container, () => admitted);
    const client = await udp();
    client.send('no', port, AT.address);
    // Loopback keeps the order: what was sent first has been handled when the second is answered.
    const through = await forward(container);
    assert.equal(await ask(client, through.port, 'other'), 'other');
    admitted = true;
    assert.equal(await ask(client, port, 'yes'), 'yes');
    assert.deepEqual(heard, ['other', 'yes']);
  });
});
