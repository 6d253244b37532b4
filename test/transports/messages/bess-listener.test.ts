import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BessListener } from '../../../src/transports/messages/bess-listener.ts';
import { contextFor, RecordingAcceptor } from '../recorder.ts';
import { checkNothingIsLeft, frameOf, MessageClient, until } from './message-client.ts';

describe('transports/messages/bess-listener', () => {
  let dir: string;
  let path: string;
  let acceptor: RecordingAcceptor;
  let listener: BessListener;
  let clients: MessageClient[];
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-bess-'));
    path = join(dir, 'net.sock');
    acceptor = new RecordingAcceptor();
    listener = await BessListener.open(path, contextFor(acceptor));
    clients = [];
  });
  afterEach(async () => {
    for (const client of clients) client.close();
    await listener.close();
    rmSync(dir, { recursive: true });
  });
  const connected = (): MessageClient => {
    const client = MessageClient.packets(path);
    clients.push(client);
    return client;
  };

  it('has its mode, and is removed at the end', async () => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await listener.close();
    assert.equal(existsSync(path), false);
  });

  it('moves one frame a packet, both ways, for several guests', async () => {
    const all = [connected(), connected()];
    for (const [i, client] of all.entries()) {
      assert.equal(client.send(frameOf(i, 4014)), 'ok');
      const link = await acceptor.link(i);
      await link.until(() => link.frames.length === 1);
      assert.deepEqual(link.frames[0], { bytes: frameOf(i, 4014), checksum: 'unknown' });
      assert.equal(link.name, `bess:${path}#${i + 1}`);
      link.send(frameOf(10 + i));
      link.send(frameOf(20 + i, 65_550));
      link.writer.flush();
      assert.deepEqual(await client.next(), frameOf(10 + i));
      assert.deepEqual(await client.next(), frameOf(20 + i, 65_550));
    }
  });

  it('a guest that closes its connection goes down, and may come back', async () => {
    connected();
    const link = await acceptor.link(0);
    clients[0]?.close();
    await link.until(() => link.downs === 1);
    connected().send(frameOf(1));
    const again = await acceptor.link(1);
    await again.until(() => again.frames.length === 1);
    assert.deepEqual([listener.stats.linksOpen, listener.stats.linksOpened], [1, 2]);
  });

  it('frames that were sent before the end are delivered', async () => {
    const client = connected();
    for (let i = 0; i < 8; i++) client.send(frameOf(i));
    client.close();
    const link = await acceptor.link(0);
    await link.until(() => link.downs === 1);
    assert.equal(link.frames.length, 8);
  });

  it('sends what is sent while a guest is being attached', async () => {
    acceptor.onAttach = (link) => {
      link.send(frameOf(3));
      link.writer.flush();
    };
    assert.deepEqual(await connected().next(), frameOf(3));
  });

  it('ends the link of a guest that is gone before it is attached', async () => {
    acceptor.onAttach = (link) => {
      link.send(frameOf(3));
      link.writer.flush();
    };
    connected().close();
    const link = await acceptor.link(0);
    await link.until(() => link.downs === 1);
    assert.equal(listener.stats.linksOpen, 0);
  });

  it('a guest that does not read stops the stack, not the others, and goes on when it reads', async () => {
    const [stuck, other] = [connected(), connected()];
    const [one, two] = [await acceptor.link(0), await acceptor.link(1)];
    while (one.send(frameOf(1, 1500))) one.writer.flush();
    assert.ok(one.writer.isCrowded);
    two.send(frameOf(2));
    two.writer.flush();
    assert.deepEqual(await other.next(), frameOf(2));
    while (one.writable === 0) await stuck.next();
    assert.ok(one.send(frameOf(1, 1500)));
  });

  it('closes and counts guests that the segment has no room for', async () => {
    acceptor.limit = 1;
    connected();
    await acceptor.link(0);
    const refused = connected();
    await until(() => listener.stats.drops.get('too-many-links') === 1);
    assert.equal((await refused.next()).length, 0, 'the end');
  });

  it('leaves nothing of guests that have gone', () =>
    checkNothingIsLeft(async (i) => {
      const client = MessageClient.packets(path);
      const link = await acceptor.link(i);
      client.close();
      await link.until(() => link.downs === 1);
    }));

  it('may be closed while it delivers', async () => {
    const client = connected();
    const link = await acceptor.link(0);
    link.onFrameHook = () => void listener.close();
    for (let i = 0; i < 5; i++) client.send(frameOf(2));
    await link.until(() => link.downs === 1);
    assert.equal(link.frames.length, 1);
  });

  it('is not taken over while it is served', async () => {
    await assert.rejects(BessListener.open(path, contextFor(acceptor)), {
      code: 'ERR_HAWSER_LINK_IN_USE',
    });
    clients.push(MessageClient.packets(path)); // it still works
    await acceptor.link(0);
  });
});
