import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPosix } from '../../../src/native/load.ts';
import { FdSocket } from '../../../src/transports/messages/fd-socket.ts';
import { contextFor, RecordingAcceptor } from '../recorder.ts';
import { frameOf, MessageClient, until } from './message-client.ts';

const posix = loadPosix();

describe('transports/messages/fd-socket', () => {
  let dir: string;
  let path: string;
  let acceptor: RecordingAcceptor;
  let listener: FdSocket;
  let opened: Socket[];
  let ends: MessageClient[];
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-fd-'));
    path = join(dir, 'fd.sock');
    acceptor = new RecordingAcceptor();
    listener = await FdSocket.open(path, contextFor(acceptor));
    opened = [];
    ends = [];
  });
  afterEach(async () => {
    for (const socket of opened) socket.destroy();
    for (const end of ends) end.close();
    await listener.close();
    rmSync(dir, { recursive: true });
  });

  /** @returns the connection, and its descriptor */
  const dial = async (): Promise<{ socket: Socket; fd: number }> => {
    const socket = connect(path);
    opened.push(socket);
    socket.on('error', () => {});
    await new Promise((done) => {
      socket.once('connect', done);
    });
    const handle: unknown = Reflect.get(socket, '_handle');
    assert.ok(typeof handle === 'object' && handle !== null && 'fd' in handle);
    return { socket, fd: Number(handle.fd) };
  };

  /** As Lima does: one end is passed, the other is the machine's. */
  const pass = async (type: 'dgram' | 'seqpacket'): Promise<MessageClient> => {
    const [ours, theirs] = posix.socketPair(type);
    const { fd } = await dial();
    posix.sendFd(fd, theirs);
    posix.close(theirs);
    const client = new MessageClient(ours);
    ends.push(client);
    return client;
  };

  for (const type of ['dgram', 'seqpacket'] as const) {
    it(`serves a guest behind a ${type} socket that was passed, and ends with it`, async () => {
      const client = await pass(type);
      const link = await acceptor.link(0);
      client.send(frameOf(1));
      await link.until(() => link.frames.length === 1);
      link.send(frameOf(2, 1514));
      link.writer.flush();
      assert.deepEqual(await client.next(), frameOf(2, 1514));
      client.close();
      link.send(frameOf(3));
      link.writer.flush();
      await link.until(() => link.downs === 1);
      assert.equal(link.name, `fd-socket:${path}#1`);
    });
  }

  it('serves several guests', async () => {
    const all = [await pass('dgram'), await pass('dgram')];
    for (const [i, client] of all.entries()) {
      client.send(frameOf(i));
      const link = await acceptor.link(i);
      await link.until(() => link.frames.length === 1);
    }
    assert.equal(listener.stats.linksOpen, 2);
  });

  it('closes the connection once it has passed its descriptor', async () => {
    const [ours, theirs] = posix.socketPair('dgram');
    const { socket, fd } = await dial();
    posix.sendFd(fd, theirs);
    posix.close(theirs);
    ends.push(new MessageClient(ours));
    socket.resume();
    await new Promise((done) => {
      socket.once('close', done);
    });
    assert.equal(acceptor.links.length, 1);
  });

  const others: readonly (readonly [string, () => number[]])[] = [
    ['a file', () => [openSync('/dev/null', 'r')]],
    ['a stream socket', () => [...posix.socketPair('stream')].slice(0, 1)],
    ['two sockets', () => [...posix.socketPair('dgram')]],
  ];
  for (const [what, make] of others) {
    it(`refuses ${what}`, async () => {
      const fds = make();
      const { fd } = await dial();
      posix.sendWithFds(fd, Uint8Array.of(0), fds);
      await until(() => listener.stats.drops.get('bad-descriptor') === 1);
      for (const one of fds) closeSync(one);
      assert.equal(acceptor.links.length, 0);
    });
  }

  it('keeps a number of connections that have passed nothing yet, and closes those beyond', async () => {
    let closed = 0;
    for (let i = 0; i < 70; i++) {
      const { socket } = await dial();
      socket.resume().once('close', () => {
        closed++;
      });
    }
    await until(() => closed === 6);
    opened[0]?.destroy();
    while (acceptor.links.length === 0) {
      await pass('dgram').catch(() => undefined); // refused until the end of the other is seen
      await new Promise(setImmediate);
    }
  });

  it('lets go of connections that end without a descriptor', async () => {
    const { socket } = await dial();
    socket.end('hello');
    await new Promise((done) => {
      socket.resume().once('close', done);
    });
    assert.equal(acceptor.links.length, 0);
    await pass('dgram');
    await acceptor.link(0);
  });
});
