import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { HeldConnections } from '../../src/control/held-connections.ts';
import { WaitingRoom } from '../../src/control/waiting-room.ts';

describe('control/waiting-room', () => {
  let server: Server;
  let held: HeldConnections;
  let room: WaitingRoom;
  let sockets: Socket[];
  /** Answer what is under way. */
  let answers: (() => void)[];

  const open = async (limits: { served: number; waiting: number; idleMs: number }) => {
    room = new WaitingRoom(server, held, {
      ...limits,
      silentMs: Math.min(limits.idleMs, 4),
      unreadMs: 20,
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  };
  beforeEach(() => {
    sockets = [];
    answers = [];
    held = new HeldConnections();
    server = createServer((request, response) => {
      if (request.url === '/hold') held.connectionOf(request.socket, true).hold(() => {});
      if (request.url === '/later') answers.push(() => response.end('ok'));
      else response.end(request.url === '/large' ? Buffer.alloc(16 << 20) : 'ok');
    });
  });
  afterEach(() => {
    room.close();
    for (const socket of sockets) socket.destroy();
    server.close();
    server.closeAllConnections();
  });

  const client = async (path?: string): Promise<Socket> => {
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const socket = connect(address.port, '127.0.0.1');
    socket.on('error', () => {});
    sockets.push(socket);
    await once(socket, 'connect');
    if (path !== undefined) socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    return socket;
  };

  it('a request under way keeps its place, whoever waits', async () => {
    await open({ served: 1, waiting: 10, idleMs: 0 });
    const busy = await client('/later');
    const next = await client('/');
    for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(next.bytesRead, 0);
    assert.equal(answers.length, 1);
    answers[0]?.();
    await once(busy, 'data');
    await once(next, 'data');
  });

  it('clients that take nothing of their answers leave their places to others', async () => {
    await open({ served: 2, waiting: 10, idleMs: 4 });
    const deaf = await Promise.all([client('/large'), client('/large')]);
    for (const socket of deaf) socket.pause();
    for (let i = 0; i < 3; i++) await once(await client('/'), 'data');
  });

  it('requests that do not complete leave their places, as many as wait', async () => {
    await open({ served: 4, waiting: 10, idleMs: 4 });
    const cut = 'POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{';
    for (const part of ['GET /st', cut, cut, cut]) (await client()).write(part);
    while (answers.length < 3) await new Promise(setImmediate);
    await once(await client('/'), 'data');
    assert.equal(sockets.filter(({ closed }) => closed).length, 1);
    const rest = await Promise.all([client('/'), client('/'), client('/'), client('/')]);
    await Promise.all(rest.map((socket) => once(socket, 'data')));
  });

  it('one that holds something is not closed, and leaves its place to others', async () => {
    await open({ served: 1, waiting: 10, idleMs: 4 });
    const holder = await client('/hold');
    await once(holder, 'data');
    for (let i = 0; i < 5; i++) await once(await client('/'), 'data');
    assert.equal(holder.destroyed, false);
  });

  it('when the room is full, the client that has waited longest is cut', async () => {
    await open({ served: 1, waiting: 2, idleMs: 60_000 });
    await client('/later');
    const longest = await client();
    const next = await client();
    await client();
    await once(longest, 'close');
    assert.equal(next.destroyed, false);
    assert.equal(room.turnedAway, 1);
  });

  it('a crowd that says nothing keeps nobody out', async () => {
    room = new WaitingRoom(server, held, {
      ...{ served: 4, waiting: 100, idleMs: 60_000, silentMs: 20, unreadMs: 60_000 },
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const busy = await client('/later');
    const crowd: Socket[] = [];
    for (let n = 0; n < 200; n++) crowd.push(await client());
    for (let n = 0; n < 3; n++) {
      await once(await client('/'), 'data');
      const left = crowd.filter(({ closed }) => !closed).length;
      assert.ok(left > 0 || n > 0, 'the others are still there');
    }
    answers[0]?.();
    await once(busy, 'data');
  });
});
