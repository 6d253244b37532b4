import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BACKLOG_LEN } from '../../../src/transports/messages/frame-backlog.ts';
import { VfkitListener } from '../../../src/transports/messages/vfkit-listener.ts';
import { TurnLoop } from '../../support/turn-loop.ts';
import { contextFor, type RecordedLink, RecordingAcceptor } from '../recorder.ts';
import { checkNothingIsLeft, frameOf, MessageClient, until } from './message-client.ts';

const HELLO = Buffer.from('VFKT');

describe('transports/messages/vfkit-listener', () => {
  let dir: string;
  let path: string;
  let acceptor: RecordingAcceptor;
  let listener: VfkitListener;
  let clients: MessageClient[];
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-vfkit-'));
    path = join(dir, 'net.sock');
    acceptor = new RecordingAcceptor();
    listener = await VfkitListener.open(path, contextFor(acceptor));
    clients = [];
  });
  afterEach(async () => {
    for (const client of clients) client.close();
    await listener.close();
    rmSync(dir, { recursive: true });
  });

  const add = (client: MessageClient): MessageClient => {
    clients.push(client);
    return client;
  };
  const connected = (name: string): MessageClient =>
    add(MessageClient.datagrams(join(dir, name)).connect(path));

  it('has its mode, and is removed at the end', async () => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await listener.close();
    assert.equal(existsSync(path), false);
  });

  it('consumes the hello, and answers a client whose socket is connected', async () => {
    const client = connected('krun');
    client.send(HELLO);
    client.send(frameOf(7));
    const link = await acceptor.link(0);
    await link.until(() => link.frames.length === 1);
    assert.deepEqual(link.frames[0]?.bytes, frameOf(7));
    assert.equal(link.name, `vfkit:${path}#1`);
    assert.ok(link.send(frameOf(8, 1500)));
    link.writer.flush();
    assert.deepEqual(await client.next(), frameOf(8, 1500));
    const { framesToHost, framesToGuest, linksOpen } = listener.stats;
    assert.deepEqual([framesToHost, framesToGuest, linksOpen], [1, 1, 1]);
  });

  it('takes the first datagram of a client that does not say hello for a frame', async () => {
    const client = add(MessageClient.datagrams(join(dir, 'plain')));
    assert.equal(client.sendTo(path, frameOf(1)), 'ok');
    const link = await acceptor.link(0);
    await link.until(() => link.frames.length === 1);
  });

  it('sends what is sent while a guest is being attached', async () => {
    acceptor.onAttach = (link) => {
      assert.ok(link.send(frameOf(3)));
      link.writer.flush();
    };
    const client = connected('early');
    client.send(HELLO);
    assert.deepEqual(await client.next(), frameOf(3));
  });

  it('ends the link of a client that is gone before it is attached', async () => {
    acceptor.onAttach = (link) => {
      link.send(frameOf(3));
      link.writer.flush();
    };
    const client = connected('gone');
    client.send(frameOf(1));
    client.close();
    rmSync(join(dir, 'gone'));
    const link = await acceptor.link(0);
    await link.until(() => link.downs === 1);
    assert.equal(listener.stats.linksOpen, 0);
  });

  it('keeps guests apart by their paths, and answers each', async () => {
    const all = [connected('one'), connected('two'), connected('three')];
    for (const [i, client] of all.entries()) client.send(frameOf(i));
    for (const [i, client] of all.entries()) {
      const link = await acceptor.link(i);
      await link.until(() => link.frames.length === 1);
      assert.deepEqual(link.frames[0]?.bytes, frameOf(i));
      link.send(frameOf(10 + i));
      link.writer.flush();
      assert.deepEqual(await client.next(), frameOf(10 + i));
      assert.equal(link.batches, 1);
    }
  });

  it('refuses and counts clients without a name', async () => {
    const client = add(MessageClient.datagrams()).connect(path);
    client.send(HELLO);
    client.send(frameOf(1));
    await until(() => listener.stats.drops.get('foreign-sender') === 2);
    assert.equal(acceptor.links.length, 0);
  });

  const restart = (client: MessageClient, name: string): MessageClient => {
    client.close();
    rmSync(join(dir, name));
    return connected(name);
  };

  it('attaches a client anew that has made its socket anew, at its hello', async () => {
    const before = connected('same');
    before.send(HELLO);
    const first = await acceptor.link(0);
    const after = restart(before, 'same');
    after.send(HELLO);
    after.send(frameOf(1));
    const second = await acceptor.link(1);
    await second.until(() => second.frames.length === 1);
    assert.deepEqual([first.downs, listener.stats.linksOpen], [1, 1]);
  });

  it('attaches a client anew that has made its socket anew, also without a hello', async () => {
    const before = connected('same');
    before.send(HELLO);
    const first = await acceptor.link(0);
    const after = restart(before, 'same');
    await first.until(() => first.downs === 1);
    after.send(frameOf(1));
    const second = await acceptor.link(1);
    await second.until(() => second.frames.length === 1);
  });

  it('a guest that sends the hello itself does not lose its link', async () => {
    const client = connected('same');
    for (let i = 0; i < 5; i++) client.send(HELLO);
    client.send(frameOf(1));
    const link = await acceptor.link(0);
    await link.until(() => link.frames.length === 1);
    assert.deepEqual([link.downs, acceptor.links.length], [0, 1]);
  });

  it('ends the link of a client whose socket nobody has open, also without sending', async () => {
    const client = connected('dead');
    client.send(HELLO);
    const link = await acceptor.link(0);
    client.close();
    await link.until(() => link.downs === 1);
  });

  it('ends the link of a machine that is gone when its successor comes, before that is heard', async () => {
    const before = connected('krun-1');
    before.send(HELLO);
    const first = await acceptor.link(0);
    before.close();
    connected('krun-2').send(frameOf(1));
    const second = await acceptor.link(1);
    second.onFrameHook = () => assert.equal(first.downs, 1);
    await second.until(() => second.frames.length === 1);
    assert.equal(first.downs, 1);
  });

  it('leaves the link of a client that is there', async () => {
    const client = connected('quiet');
    client.send(HELLO);
    const link = await acceptor.link(0);
    const other = connected('dead');
    other.send(HELLO);
    const dead = await acceptor.link(1);
    other.close();
    await dead.until(() => dead.downs === 1);
    assert.equal(link.downs, 0);
  });

  it('a guest that does not read takes no room from another', async () => {
    const stuck = connected('stuck');
    const other = connected('other');
    stuck.send(HELLO);
    other.send(HELLO);
    const [one, two] = [await acceptor.link(0), await acceptor.link(1)];
    const fill = (): boolean => one.send(frameOf(1, 9000));
    while (fill()) one.writer.flush();
    for (let i = 0; i < 500; i++) {
      assert.ok(two.send(frameOf(2, 9000)));
      two.writer.flush();
      assert.equal((await other.next()).length, 9000);
    }
    let read = 0;
    while (stuck.receive() !== undefined) read++;
    assert.ok(read > 10);
    await one.until(() => one.writable > 0);
    assert.ok(fill());
  });

  it('nor do several that send all the while', async () => {
    const stuck = ['a', 'b', 'c', 'd', 'e'].map(connected);
    const other = connected('other');
    for (const client of [...stuck, other]) client.send(HELLO);
    const links = await Promise.all(stuck.map((_, i) => acceptor.link(i)));
    const theirs = await acceptor.link(stuck.length);
    for (let i = 0; i < 500; i++) {
      for (const [at, client] of stuck.entries()) {
        client.send(frameOf(at));
        const link = links[at];
        for (let frames = 0; frames < 20 && link?.send(frameOf(at, 1500)) === true; frames++);
        link?.writer.flush();
      }
      assert.ok(theirs.send(frameOf(9, 1500)));
      theirs.writer.flush();
      assert.equal((await other.next()).length, 1500);
    }
  });

  describe('a machine of libkrun, which is lost when a frame of it finds the queue full,', () => {
    /** Of the kernel's queue, whose length the system sets: the least is 10. */
    const BURST = 8;
    const COST_MS = 0.3;
    let loop: TurnLoop;
    let link: RecordedLink;
    let krun: MessageClient;
    beforeEach(async () => {
      await listener.close();
      loop = new TurnLoop();
      const clock = { now: () => loop.nowMs };
      const context = { ...contextFor(acceptor), clock, turns: loop.turns };
      listener = await VfkitListener.open(path, context);
      krun = connected('krun');
      assert.equal(krun.send(HELLO), 'ok');
      link = await acceptor.link(0);
      link.onFrameHook = () => {
        loop.nowMs += COST_MS;
      };
    });

    /** The event loop polls between two of them. */
    const polled = async (): Promise<void> => {
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    };

    /** @returns what the machine is told of its frames, but for `ok` */
    const flood = async (bursts: number, len = 60): Promise<string[]> => {
      const refusals: string[] = [];
      for (let burst = 0; burst < bursts; burst++) {
        for (let i = 0; i < BURST; i++) refusals.push(krun.send(frameOf(burst & 0xff, len)));
        await polled();
      }
      return refusals.filter((told) => told !== 'ok');
    };

    it('is not told so while its link has no share of the turn, and loses nothing', async () => {
      assert.deepEqual(await flood(40), []);
      assert.ok(link.frames.length < 40 * BURST, 'others have the turn');
      while (link.frames.length < 40 * BURST) {
        const before = link.frames.length;
        loop.poll();
        assert.ok(link.frames.length > before, 'it goes on');
      }
      const order = link.frames.map(({ bytes }) => bytes[20]);
      assert.deepEqual(
        order,
        [...order].sort((a = 0, b = 0) => a - b),
      );
      assert.equal(listener.stats.drops.get('host-queue-full'), 0);
    });

    it('is not told so when it floods for long: what is too much is dropped, and counted', async () => {
      const bursts = 200;
      assert.deepEqual(await flood(bursts, 9_000), []);
      const dropped = listener.stats.drops.get('host-queue-full');
      while (!loop.isIdle) loop.poll();
      assert.equal(link.frames.length + dropped, bursts * BURST);
      assert.ok(dropped > 0);
      assert.ok((link.frames.length - BURST) * 9_000 < BACKLOG_LEN, 'the backlog has a bound');
      assert.deepEqual(await flood(1), []);
      while (!loop.isIdle) loop.poll();
      assert.equal(link.frames.at(-1)?.bytes.length, 60, 'it is served again');
    });

    it('takes no room from another, whose frames come meanwhile', async () => {
      const other = connected('other');
      assert.equal(other.send(HELLO), 'ok');
      const theirs = await acceptor.link(1);
      assert.deepEqual(await flood(200, 9_000), []);
      assert.equal(other.send(frameOf(7)), 'ok');
      await polled();
      while (!loop.isIdle) loop.poll();
      assert.equal(theirs.frames.length, 1);
    });
  });

  it('drops and counts what is no frame', async () => {
    const client = connected('odd');
    client.send(frameOf(1));
    client.send(Buffer.alloc(13));
    client.send(Buffer.alloc(65_561));
    client.send(frameOf(1, 65_550));
    const link = await acceptor.link(0);
    await link.until(() => link.frames.length === 2);
    assert.equal(link.frames[1]?.bytes.length, 65_550);
    const { drops } = listener.stats;
    assert.deepEqual([drops.get('runt-frame'), drops.get('oversized-frame')], [1, 1]);
  });

  it('counts guests that the segment has no room for', async () => {
    acceptor.limit = 1;
    connected('first').send(HELLO);
    await acceptor.link(0);
    connected('second').send(HELLO);
    await until(() => listener.stats.drops.get('too-many-links') === 1);
    assert.equal(listener.stats.linksOpen, 1);
  });

  it('leaves nothing of guests that have gone', () =>
    checkNothingIsLeft(async (i) => {
      const client = MessageClient.datagrams(join(dir, `guest-${i}`)).connect(path);
      client.send(HELLO);
      const link = await acceptor.link(i);
      client.close();
      link.send(frameOf(1));
      link.writer.flush();
      await link.until(() => link.downs === 1);
    }));

  it('may be closed while it delivers', async () => {
    const client = connected('closing');
    client.send(frameOf(1));
    const link = await acceptor.link(0);
    link.onFrameHook = () => void listener.close();
    for (let i = 0; i < 5; i++) client.send(frameOf(2));
    await link.until(() => link.downs === 1);
  });

  it('takes over a socket that nobody serves, and no other', async () => {
    await assert.rejects(VfkitListener.open(path, contextFor(acceptor)), {
      code: 'ERR_HAWSER_LINK_IN_USE',
    });
    const stale = join(dir, 'stale');
    add(MessageClient.datagrams(stale)).close();
    const again = await VfkitListener.open(stale, contextFor(acceptor));
    await again.close();
    writeFileSync(join(dir, 'file'), '');
    await assert.rejects(VfkitListener.open(join(dir, 'file'), contextFor(acceptor)), {
      code: 'ERR_HAWSER_LINK_IN_USE',
    });
  });
});
