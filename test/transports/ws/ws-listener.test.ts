import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get } from 'node:http';
import { WebSocket } from 'ws';
import type { StreamFramingName } from '../../../src/transports/framing.ts';
import { WsListener } from '../../../src/transports/ws/ws-listener.ts';
import { mayAttach } from '../../../src/transports/ws/ws-origin.ts';
import { contextFor, RecordingAcceptor } from '../recorder.ts';

describe('transports/ws-listener', () => {
  let acceptor: RecordingAcceptor;
  let listener: WsListener;
  let url = '';
  const clients: WebSocket[] = [];

  const open = async (
    path?: string,
    wsOrigins: readonly string[] = [],
    framing?: StreamFramingName,
    probeMs?: number,
  ): Promise<void> => {
    const context = { ...contextFor(acceptor), wsOrigins };
    const address = { host: '127.0.0.1', port: 0 };
    listener = await WsListener.open({ address, path, framing }, context, probeMs);
    url = listener.description.replace(/^ws:/, 'ws://');
  };
  const connect = (to = url, origin?: string): WebSocket => {
    const client = new WebSocket(to, origin === undefined ? {} : { origin });
    client.on('error', () => {});
    clients.push(client);
    return client;
  };
  const online = async (...args: Parameters<typeof connect>): Promise<WebSocket> => {
    const client = connect(...args);
    await once(client, 'open');
    return client;
  };
  const closeCode = async (client: WebSocket): Promise<unknown> => (await once(client, 'close'))[0];

  beforeEach(() => {
    acceptor = new RecordingAcceptor();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.terminate();
    await listener.close();
  });

  it('carries a frame a message, both ways, for each of several guests', async () => {
    await open();
    for (const i of [0, 1]) {
      const client = await online();
      const link = await acceptor.link(i);
      assert.equal(link.name, `${listener.description}#${i + 1}`);
      client.send(Buffer.alloc(60, i));
      await link.until(() => link.frames.length === 1);
      assert.deepEqual(link.frames[0]?.bytes, Buffer.alloc(60, i));
      const message = once(client, 'message');
      assert.ok(link.send(Buffer.alloc(1514, 7)));
      link.writer.flush();
      assert.deepEqual(await message, [Buffer.alloc(1514, 7), true]);
    }
    assert.equal(listener.stats.linksOpen, 2);
  });

  it('a guest may go and come back', async () => {
    await open();
    for (let n = 0; n < 3; n++) {
      const client = await online();
      const link = await acceptor.link(n);
      client.close();
      await link.until(() => link.downs === 1);
    }
    assert.equal(listener.stats.linksOpen, 0);
    assert.equal(listener.stats.linksOpened, 3);
  });

  it('every frame of a fast guest arrives, however slowly they are processed', async () => {
    await open();
    const client = await online();
    const link = await acceptor.link(0);
    link.keepFrames = false;
    let frames = 0;
    link.onFrameHook = ({ slab, off }) => {
      assert.equal(slab.view.getUint32(off), frames);
      frames++;
    };
    const total = 5_000;
    for (let i = 0; i < total; i++) {
      const frame = Buffer.alloc(1514);
      frame.writeUInt32BE(i);
      client.send(frame);
    }
    await link.until(() => frames === total);
    assert.equal(listener.stats.drops.get('host-queue-full'), 0);
  });

  it('holds a bounded amount for a guest that does not read, and goes on when it does', async () => {
    await open();
    const client = await online();
    const link = await acceptor.link(0);
    client.pause();
    let sent = 0;
    while (link.send(Buffer.alloc(60_000, sent & 255))) {
      link.writer.flush();
      sent++;
    }
    assert.ok(sent > 10 && sent < 300, `${sent} frames`);
    let read = 0;
    client.on('message', (data: Buffer) => {
      assert.equal(data[0], read & 255);
      read++;
    });
    client.resume();
    await link.until(() => link.writable > 0);
    assert.ok(link.send(Buffer.alloc(60, sent & 255)));
    link.writer.flush();
    while (read <= sent) await once(client, 'message');
  });

  it('closes a guest that sends text, or more than a frame', async () => {
    await open();
    const text = await online();
    text.send('frame');
    assert.equal(await closeCode(text), 1003);
    const long = await online();
    long.send(Buffer.alloc(65_561));
    assert.equal(await closeCode(long), 1009);
    for (const n of [0, 1]) {
      const link = await acceptor.link(n);
      await link.until(() => link.downs === 1);
    }
  });

  it('asks a guest to try again later when the table of links is full', async () => {
    acceptor.limit = 1;
    await open();
    await online();
    assert.equal(await closeCode(connect()), 1013);
    assert.equal(listener.stats.drops.get('too-many-links'), 1);
    assert.equal(listener.stats.linksOpen, 1);
  });

  it('serves one path, where it is given one', async () => {
    await open('/vm');
    await online();
    await online(`${url}?session=1`);
    const other = connect(url.replace(/vm$/, 'other'));
    const [error] = await once(other, 'error');
    assert.match(String(error), /404/);
  });

  it('tells what it is to who asks by plain HTTP', async () => {
    await open();
    const [response] = await once(get(url.replace('ws:', 'http:')), 'response');
    assert.equal(response.statusCode, 426);
    response.resume();
  });

  it('refuses pages of other origins, and counts them', async () => {
    await open();
    await online(url, url.replace('ws:', 'http:'));
    const [error] = await once(connect(url, 'http://evil.example'), 'error');
    assert.match(String(error), /403/);
    assert.equal(listener.stats.drops.get('handshake-refused'), 1);
    await listener.close();
    await open(undefined, ['https://vm.example']);
    await online(url, 'https://vm.example');
    const [other] = await once(connect(url, url.replace('ws:', 'http:')), 'error');
    assert.match(String(other), /403/);
  });

  it('says that it goes when it closes', async () => {
    await open();
    const client = await online();
    const link = await acceptor.link(0);
    const gone = closeCode(client);
    await listener.close();
    assert.equal(await gone, 1001);
    assert.equal(link.downs, 1);
  });

  it('does not wait for a guest that does not answer', async () => {
    await open();
    const client = await online();
    client.pause();
    await listener.close();
    assert.equal(listener.stats.linksOpen, 0);
  });

  it('a guest that answers no probe is gone', async () => {
    await open(undefined, [], undefined, 20);
    const silent = await online();
    const live = await online();
    const links = [await acceptor.link(0), await acceptor.link(1)];
    silent.pause();
    await links[0]?.until(() => links[0]?.downs === 1);
    assert.equal(links[1]?.downs, 0);
    assert.equal(live.readyState, WebSocket.OPEN);
  });

  it("carries container2wasm's frames: QEMU's, in messages that are cut anywhere", async () => {
    await open(undefined, [], 'qemu');
    assert.match(url, /\?framing=qemu$/);
    const client = await online();
    const link = await acceptor.link(0);
    const frames = Buffer.concat(
      [1, 2, 3].map((fill) => Buffer.from([0, 0, 0, 60, ...Buffer.alloc(60, fill)])),
    );
    for (const [from, to] of [
      [0, 2],
      [2, 4],
      [4, 130],
      [130, undefined],
    ]) {
      client.send(frames.subarray(from, to));
    }
    await link.until(() => link.frames.length === 3);
    assert.deepEqual(
      link.frames.map(({ bytes }) => bytes[0]),
      [1, 2, 3],
    );
    let got = Buffer.alloc(0);
    client.on('message', (data: Buffer) => {
      got = Buffer.concat([got, data]);
    });
    assert.ok(link.send(Buffer.alloc(60, 7)));
    link.writer.flush();
    while (got.length < 64) await once(client, 'message');
    assert.deepEqual(got, Buffer.from([0, 0, 0, 60, ...Buffer.alloc(60, 7)]));
    client.close();
    await link.until(() => link.downs === 1);
    assert.equal(listener.stats.linksOpen, 0);
  });

  it('a stream out of sync is closed', async () => {
    await open(undefined, [], 'qemu');
    const client = await online();
    client.send(Buffer.alloc(8, 0xff));
    await once(client, 'close');
    assert.equal(listener.stats.drops.get('bad-frame-length'), 1);
  });

  it('refuses a port that is in use', async () => {
    await open();
    const port = Number(/:(\d+)$/.exec(url)?.[1]);
    const where = { address: { host: '127.0.0.1', port }, path: undefined, framing: undefined };
    const again = WsListener.open(where, contextFor(acceptor));
    await assert.rejects(again, { code: 'ERR_HAWSER_LINK_IN_USE' });
  });
});

describe('transports/ws-origin', () => {
  const ROWS: readonly (readonly [string | undefined, string, readonly string[], boolean])[] = [
    [undefined, '127.0.0.1:80', [], true],
    [undefined, 'vm.example', ['https://a.example'], true],
    ['http://127.0.0.1:80', '127.0.0.1:80', [], true],
    ['https://localhost', 'localhost', [], true],
    ['http://[::1]:8080', '[::1]:8080', [], true],
    ['http://127.0.0.1:81', '127.0.0.1:80', [], false],
    ['http://rebound.example:80', 'rebound.example:80', [], false],
    ['null', '127.0.0.1:80', [], false],
    ['null', '127.0.0.1:80', ['null'], true],
    ['HTTPS://A.example', '127.0.0.1:80', ['https://a.example'], true],
    ['https://a.example.evil.example', '127.0.0.1:80', ['https://a.example'], false],
    ['http://127.0.0.1:80', '127.0.0.1:80', ['https://a.example'], false],
  ];
  for (const [origin, host, allowed, may] of ROWS) {
    it(`${origin ?? 'no origin'} at ${host}, allowed ${allowed.join()}: ${may ? 'yes' : 'no'}`, () => {
      assert.equal(mayAttach({ origin, host }, allowed), may);
    });
  }
});
