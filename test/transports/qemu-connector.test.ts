import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QemuConnector } from '../../src/transports/qemu-connector.ts';
import { contextFor, RecordingAcceptor } from './recorder.ts';

const HELLO = Buffer.from([0, 0, 0, 2, 0x68, 0x69]);

describe('transports/qemu-connector', () => {
  let dir = '';
  let path = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-link-'));
    path = join(dir, 'q.sock');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const listen = async (): Promise<Server> => {
    const server = createServer().listen(path);
    await once(server, 'listening');
    return server;
  };
  const accept = async (server: Server): Promise<Socket> => {
    const [socket]: Socket[] = await once(server, 'connection');
    assert.ok(socket);
    return socket;
  };

  it('waits for QEMU, and comes back when QEMU drops the link', async () => {
    const acceptor = new RecordingAcceptor();
    const connector = new QemuConnector({ path }, contextFor(acceptor));
    const server = await listen();
    for (let n = 0; n < 2; n++) {
      const socket = await accept(server);
      socket.write(HELLO);
      const link = await acceptor.link(n);
      await link.until(() => link.frames.length === 1);
      assert.equal(link.frames[0]?.bytes.toString(), 'hi');
      link.send(Buffer.from('yo'));
      link.writer.flush();
      const [reply]: Buffer[] = await once(socket, 'data');
      assert.equal(reply?.subarray(4).toString(), 'yo');
      socket.destroy();
      await link.until(() => link.downs === 1);
    }
    await connector.close();
    server.close();
  });

  it('does not come back once it is closed', async () => {
    const acceptor = new RecordingAcceptor();
    const server = await listen();
    const connector = new QemuConnector({ path }, contextFor(acceptor));
    const socket = await accept(server);
    socket.resume();
    const link = await acceptor.link(0);
    await connector.close();
    await once(socket, 'close');
    assert.equal(link.downs, 1);
    server.close();
    await once(server, 'close');
    assert.equal(acceptor.links.length, 1);
  });
});
