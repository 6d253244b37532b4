import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPosix } from '../../src/native/load.ts';
import { QemuListener } from '../../src/transports/qemu-listener.ts';
import { contextFor, RecordingAcceptor } from './recorder.ts';

function framed(text: string | Uint8Array): Buffer {
  const body = Buffer.from(text);
  const header = Buffer.alloc(4);
  header.writeUInt32BE(body.length);
  return Buffer.concat([header, body]);
}

async function guest(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  return socket;
}

/** Reads pieces of a known length from a socket, from the first call on. */
function byteReader(socket: Socket): (len: number) => Promise<Buffer> {
  let held = Buffer.alloc(0);
  const chunks = socket.iterator({ destroyOnReturn: false });
  return async (len) => {
    while (held.length < len) {
      const { value, done }: IteratorResult<Buffer> = await chunks.next();
      assert.ok(done !== true, 'the stream ended early');
      held = Buffer.concat([held, value]);
    }
    const bytes = held.subarray(0, len);
    held = held.subarray(len);
    return bytes;
  };
}

describe('transports/qemu-listener', () => {
  let dir = '';
  let path = '';
  let acceptor: RecordingAcceptor;
  const open = (): Promise<QemuListener> => QemuListener.open({ path }, contextFor(acceptor));

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-link-'));
    path = join(dir, 'q.sock');
    acceptor = new RecordingAcceptor();
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('carries frames both ways between each guest and its own reader', async () => {
    const listener = await open();
    const sockets = [await guest(path), await guest(path)];
    for (const [i, socket] of sockets.entries()) {
      const link = await acceptor.link(i);
      assert.equal(link.name, `qemu:${path}#${i + 1}`);
      socket.write(framed(`from guest ${i}`));
      await link.until(() => link.frames.length === 1);
      assert.equal(link.frames[0]?.bytes.toString(), `from guest ${i}`);
      assert.ok(link.send(Buffer.from(`to guest ${i}`)));
      link.writer.flush();
      assert.deepEqual(await byteReader(socket)(14), framed(`to guest ${i}`));
    }
    assert.equal(listener.stats.linksOpen, 2);
    for (const socket of sockets) socket.destroy();
    await listener.close();
  });

  it('lets a guest go and come back', async () => {
    const listener = await open();
    for (let n = 0; n < 3; n++) {
      const socket = await guest(path);
      const link = await acceptor.link(n);
      socket.end();
      await link.until(() => link.downs === 1);
      assert.equal(listener.stats.linksOpen, 0);
    }
    assert.equal(listener.stats.linksOpened, 3);
    await listener.close();
  });

  it('a guest that is gone before what it is sent on attaching leaves no link', async () => {
    acceptor.onAttach = (link) => {
      assert.ok(link.send(Buffer.from('hello')));
      link.writer.flush();
    };
    const listener = await open();
    for (let n = 0; n < 3; n++) {
      connect(path).destroy();
      const link = await acceptor.link(n);
      await link.until(() => link.downs === 1);
      assert.equal(listener.stats.linksOpen, 0);
    }
    await listener.close();
  });

  it('closes a guest when the table of links is full, and counts it', async () => {
    acceptor.limit = 1;
    const listener = await open();
    const first = await guest(path);
    const second = connect(path);
    second.resume();
    await once(second, 'close');
    assert.equal(listener.stats.drops.get('too-many-links'), 1);
    assert.equal(listener.stats.linksOpen, 1);
    first.destroy();
    await listener.close();
  });

  it('closes a guest whose stream is out of sync', async () => {
    const listener = await open();
    const socket = await guest(path);
    socket.resume();
    socket.write(Buffer.concat([framed('good'), Buffer.alloc(8, 0xff)]));
    await once(socket, 'close');
    const link = await acceptor.link(0);
    assert.deepEqual([link.frames.length, link.downs], [1, 1]);
    assert.equal(listener.stats.drops.get('bad-frame-length'), 1);
    await listener.close();
  });

  it('holds a bounded amount for a guest that does not read, and goes on when it does', async () => {
    const listener = await open();
    const socket = await guest(path);
    const link = await acceptor.link(0);
    let sent = 0;
    let refused = 0;
    const total = 4000;
    const burst = (): void => {
      while (sent < total) {
        const frame = Buffer.alloc(1514, sent & 255);
        frame.writeUInt32BE(sent);
        if (!link.send(frame)) {
          refused++;
          break;
        }
        sent++;
      }
      link.writer.flush();
    };
    burst();
    assert.equal(refused, 1, 'more than the buffers hold was offered');
    link.onEvent = burst;
    const read = byteReader(socket);
    let next = 0;
    while (next < total) {
      const bytes = await read(1518);
      assert.equal(bytes.readUInt32BE(4), next);
      assert.equal(bytes[1517], next & 255);
      next++;
    }
    assert.equal(sent, total);
    assert.ok(link.writable > 0);
    socket.destroy();
    await listener.close();
  });

  it('leaves more to the socket of a guest that it had to wait for', async () => {
    loadPosix();
    const listener = await open();
    const socket = await guest(path);
    const link = await acceptor.link(0);
    const frame = Buffer.alloc(60_000);
    const fill = (): number => {
      let frames = 0;
      while (link.send(frame)) frames++;
      link.writer.flush();
      return frames;
    };
    const read = byteReader(socket);
    const before = fill();
    await read(before * (4 + frame.length));
    await link.until(() => link.writable > 0);
    const after = fill();
    assert.ok((after - before) * frame.length > 100_000, `${before} frames, then ${after}`);
    await read(after * (4 + frame.length));
    socket.destroy();
    await listener.close();
  });

  it('a directory that is missing is an error that names it', async () => {
    path = join(dir, 'a', 'q.sock');
    await assert.rejects(open(), { code: 'ERR_HAWSER_LINK', message: /make the directory .*\/a / });
  });

  it('removes the socket on close', async () => {
    const listener = await open();
    assert.ok(existsSync(path));
    await listener.close();
    assert.ok(!existsSync(path));
  });

  it('disconnects its guests and notifies its readers when it closes', async () => {
    const listener = await open();
    const socket = await guest(path);
    const link = await acceptor.link(0);
    socket.resume();
    const gone = once(socket, 'close');
    await listener.close();
    await gone;
    assert.equal(link.downs, 1);
  });

  it('takes over the socket of a process that died', async () => {
    const die = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', die]);
    assert.ok(existsSync(path));
    const listener = await open();
    (await guest(path)).destroy();
    await listener.close();
  });

  it('refuses a socket that is served, and leaves it alone', async () => {
    const first = await open();
    await assert.rejects(open(), {
      code: 'ERR_HAWSER_LINK_IN_USE',
      message: /in use by another process/,
    });
    (await guest(path)).destroy();
    await first.close();
  });

  it('refuses a file that is no socket, and leaves it alone', async () => {
    writeFileSync(path, 'precious');
    await assert.rejects(open(), { code: 'ERR_HAWSER_LINK_IN_USE', message: /is not a socket/ });
    assert.ok(existsSync(path));
  });

  it('refuses a path that the system would cut off', async () => {
    path = join(dir, 'x'.repeat(100));
    await assert.rejects(open(), { code: 'ERR_HAWSER_LINK', message: /must be at most/ });
  });

  it('serves TCP, and names the port it got', async () => {
    const listener = await QemuListener.open({ host: '127.0.0.1', port: 0 }, contextFor(acceptor));
    const port = Number(/^qemu:127\.0\.0\.1:(\d+)$/.exec(listener.description)?.[1]);
    const socket = connect(port, '127.0.0.1');
    socket.write(framed('over tcp'));
    const link = await acceptor.link(0);
    await link.until(() => link.frames.length === 1);
    await assert.rejects(QemuListener.open({ host: '127.0.0.1', port }, contextFor(acceptor)), {
      code: 'ERR_HAWSER_LINK_IN_USE',
    });
    socket.destroy();
    await listener.close();
  });
});
