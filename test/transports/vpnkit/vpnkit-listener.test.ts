import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { GuestAddresses } from '../../../src/transports/link-context.ts';
import {
  VPNKIT_LIMITS,
  type VpnkitLimits,
  VpnkitListener,
} from '../../../src/transports/vpnkit/vpnkit-listener.ts';
import { ANY_ADDRESS } from '../../support/any-address.ts';
import {
  C_INIT,
  commandOf,
  framed,
  GO_INIT,
  initOf,
  Vmn3tClient,
} from '../../support/vmn3t-client.ts';
import { contextFor, type RecordedLink, RecordingAcceptor } from '../recorder.ts';

const UUID = '11111111-2222-4333-8444-555555555555';
const OTHER = '99999999-2222-4333-8444-555555555555';
const NO_UUID = '\0'.repeat(36);

/** Bytes from here on are 0x11, so that it is to one station; or to all. */
const frameTo = (who: 'one' | 'all', fill: number, len = 60): Buffer => {
  const frame = Buffer.alloc(len, fill);
  frame.fill(who === 'all' ? 0xff : 0x02, 0, 6);
  return frame;
};

function send(link: RecordedLink, frame: Uint8Array): boolean {
  const isSent = link.send(frame);
  link.writer.flush();
  return isSent;
}

describe('transports/vpnkit-listener', () => {
  let dir = '';
  let path = '';
  let acceptor: RecordingAcceptor;
  let listener: VpnkitListener;
  const clients: Vmn3tClient[] = [];

  const open = async (
    limits: VpnkitLimits = VPNKIT_LIMITS,
    addresses: GuestAddresses = ANY_ADDRESS,
    mtu = 1500,
  ): Promise<void> => {
    const context = { ...contextFor(acceptor, mtu), addresses };
    listener = await VpnkitListener.open({ path }, context, limits);
  };
  const client = async (): Promise<Vmn3tClient> => {
    const made = await Vmn3tClient.at(path);
    clients.push(made);
    return made;
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-vpnkit-'));
    path = join(dir, 'v.sock');
    acceptor = new RecordingAcceptor();
  });
  afterEach(async () => {
    for (const made of clients.splice(0)) made.close();
    await listener.close();
    rmSync(dir, { recursive: true });
  });

  it('greets the Go client, and carries frames both ways', async () => {
    await open();
    const go = await client();
    const vif = await go.open(UUID);
    assert.deepEqual([vif.mtu, vif.longest], [1500, 1550]);
    assert.match(vif.mac, /^02:50:/);
    const link = await acceptor.link(0);
    assert.equal(link.name, `vpnkit:${path}#1`);
    go.send(frameTo('all', 1, 60));
    await link.until(() => link.frames.length === 1);
    assert.deepEqual(link.frames[0]?.bytes, frameTo('all', 1, 60));
    assert.ok(send(link, frameTo('one', 2, 1514)));
    assert.deepEqual(await go.readFrame(), frameTo('one', 2, 1514));
  });

  it('greets the C client, which has no UUID and reads whole structures', async () => {
    await open();
    const c = await client();
    c.socket.write(C_INIT);
    assert.equal((await c.read(49)).subarray(0, 9).toString('latin1'), 'VMN3T\x16\0\0\0');
    c.socket.write(commandOf(NO_UUID));
    const response = await c.read(258);
    assert.equal(response[0], 1);
    assert.ok(
      response.subarray(11).every((byte) => byte === 0),
      'padding',
    );
    const link = await acceptor.link(0);
    c.send(frameTo('all', 1));
    await link.until(() => link.frames.length === 1);
    assert.ok(send(link, frameTo('one', 7)));
    assert.deepEqual(await c.readFrame(), frameTo('one', 7));
  });

  it('a guest is to speak first: what it is sent before comes behind the answer, as far as it is held', async () => {
    await open();
    const go = await client();
    await go.open(UUID);
    const link = await acceptor.link(0);
    for (let i = 1; i <= 5; i++) assert.ok(send(link, frameTo('all', i, 1514)));
    assert.equal(send(link, frameTo('all', 6, 1514)), false);
    assert.equal(listener.stats.drops.get('guest-not-heard'), 1);
    link.onFrameHook = () => assert.ok(send(link, frameTo('one', 9)));
    go.send(frameTo('all', 1));
    assert.equal((await go.readFrame())[20], 9);
    for (let i = 1; i <= 5; i++) assert.equal((await go.readFrame())[20], i);
    assert.ok(link.writable > 0);
  });

  it('a guest that says nothing is sent what there is after a while', async () => {
    await open({ ...VPNKIT_LIMITS, speakMs: 20 });
    const silent = await client();
    await silent.open(UUID);
    const link = await acceptor.link(0);
    assert.ok(send(link, frameTo('one', 4)));
    assert.equal((await silent.readFrame())[20], 4);
    assert.ok(send(link, frameTo('one', 5)));
    assert.equal((await silent.readFrame())[20], 5);
  });

  it('takes a handshake in single bytes, and frames that come with it', async () => {
    await open();
    const slow = await client();
    slow.socket.setNoDelay(true);
    for (const byte of GO_INIT) {
      slow.socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    await slow.read(49);
    const rest = Buffer.concat([commandOf(UUID), framed(frameTo('all', 3)), Buffer.of(60)]);
    slow.socket.write(rest);
    const link = await acceptor.link(0);
    await link.until(() => link.frames.length === 1);
    slow.socket.write(Buffer.concat([Buffer.of(0), frameTo('all', 4)]));
    await link.until(() => link.frames.length === 2);
    assert.equal(link.frames[1]?.bytes[30], 4);
    assert.equal((await slow.read(258))[0], 1);
  });

  it('the same UUID has the same Ethernet address, another has another, and without one none is repeated', async () => {
    await open();
    const macOf = async (uuid: string): Promise<string> => {
      const one = await client();
      const { mac } = await one.open(uuid);
      one.close();
      return mac;
    };
    const first = await macOf(UUID);
    assert.equal(await macOf(UUID.toUpperCase()), first);
    assert.notEqual(await macOf(OTHER), first);
    assert.notEqual(await macOf(NO_UUID), await macOf(NO_UUID));
  });

  it('sends its INIT to another version, and then the end', async () => {
    await open();
    const old = await client();
    old.socket.write(initOf('0'.repeat(40), 1));
    assert.equal((await old.read(49)).readUInt32LE(5), 22);
    old.socket.end();
    await once(old.socket, 'close');
    assert.equal(old.failure, undefined);
    assert.equal(listener.stats.drops.get('handshake-refused'), 1);
  });

  for (const text of ['VMNET', 'GET / HTTP/1.1\r\n\r\n']) {
    it(`closes what begins with ${JSON.stringify(text)}`, async () => {
      await open();
      const stranger = connect(path);
      stranger.on('error', () => {}).resume();
      stranger.write(text);
      await once(stranger, 'close');
      assert.equal(listener.stats.drops.get('handshake-refused'), 1);
    });
  }

  for (const [what, command, why] of [
    ['Bind_ipv4', Buffer.from([6, 1, 0, 0, 127, 80, 0, 0]), 'unsupported command 6'],
    ['a UUID that is none', commandOf('no UUID at all'), 'invalid UUID'],
  ] as const) {
    it(`refuses ${what} with a text`, async () => {
      await open();
      const one = await client();
      one.socket.write(GO_INIT);
      await one.read(49);
      one.socket.write(command);
      assert.equal(await one.refusal(), why);
      await one.readToEnd();
      assert.equal(listener.stats.linksOpened, 0);
    });
  }

  it('has a preferred address kept, and refuses with a text where it is not to be had', async () => {
    const asked: [number, number | undefined][] = [];
    await open(VPNKIT_LIMITS, {
      reserve: (mac, wanted) => {
        asked.push([mac, wanted]);
        return wanted === (0xc0a8_414e | 0) ? 'taken' : undefined;
      },
      release: () => {},
    });
    await (await client()).open(UUID, '192.168.65.77');
    assert.equal(asked[0]?.[1], 0xc0a8_414d | 0);
    const refused = await client();
    await assert.rejects(
      refused.open(OTHER, '192.168.65.78'),
      /refused: 192\.168\.65\.78 is taken by another guest$/,
    );
    await refused.readToEnd();
    // While it is connected it stays where it is.
    const moved = await client();
    await assert.rejects(
      moved.open(UUID, '192.168.65.79'),
      /its UUID is in use with another address/,
    );
    await (await client()).open(UUID, '192.168.65.77');
  });

  it('with the table of links full, refuses with a text', async () => {
    acceptor.limit = 0;
    await open();
    const one = await client();
    await assert.rejects(one.open(UUID), /refused: there are too many links$/);
    await one.readToEnd();
    assert.equal(listener.stats.drops.get('too-many-links'), 1);
  });

  it('two connections with one UUID are one link: each is heard, and answered where it was heard last', async () => {
    await open();
    const parent = await client();
    const { mac } = await parent.open(UUID);
    const link = await acceptor.link(0);
    parent.send(frameTo('all', 1));
    await link.until(() => link.frames.length === 1);
    const child = await client();
    assert.equal((await child.open(UUID)).mac, mac);
    assert.ok(send(link, frameTo('one', 2)));
    assert.equal((await parent.readFrame())[20], 2);
    child.send(frameTo('all', 3));
    await link.until(() => link.frames.length === 2);
    assert.ok(send(link, frameTo('one', 4)));
    assert.equal((await child.readFrame())[20], 4);
    assert.ok(send(link, frameTo('all', 5)));
    assert.equal((await child.readFrame())[20], 5);
    assert.equal((await parent.readFrame())[20], 5);
    assert.equal(acceptor.links.length, 1);
    assert.equal(listener.stats.linksOpen, 1);
    const before = link.writable;
    child.close();
    await link.until(() => link.writable > before); // by the other now
    assert.deepEqual([link.downs, listener.stats.linksOpen], [0, 1]);
    parent.close();
    await link.until(() => link.downs === 1);
    assert.equal(listener.stats.linksOpen, 0);
  });

  it('a twin that never reads costs a bounded queue, and holds up nothing', async () => {
    await open();
    const parent = await client();
    await parent.open(UUID);
    const link = await acceptor.link(0);
    parent.send(frameTo('all', 1));
    await link.until(() => link.frames.length === 1);
    parent.stopReading();
    const child = await client();
    await child.open(UUID);
    child.send(frameTo('all', 1));
    await link.until(() => link.frames.length === 2);
    const total = 4_000;
    for (let i = 0; i < total; i++) {
      assert.ok(send(link, frameTo('all', i & 0x7f, 1514)));
      assert.equal((await child.readFrame())[1000], i & 0x7f);
    }
    const dropped = listener.stats.drops.get('guest-queue-full');
    assert.ok(dropped > 1_000 && dropped < total, `${dropped} dropped`);
    // And when it does read: whole frames, of those that were queued.
    parent.readOn();
    for (let i = 0; i < 100; i++) assert.equal((await parent.readFrame()).length, 1514);
  });

  it('a fifth connection with one UUID is refused', async () => {
    await open();
    for (let i = 0; i < 4; i++) await (await client()).open(UUID);
    await assert.rejects((await client()).open(UUID), /too many connections with its UUID/);
  });

  it('clients in their handshake are bounded: the oldest gives way', async () => {
    await open({ ...VPNKIT_LIMITS, handshakes: 2 });
    const first = await client();
    first.socket.resume();
    const second = await client();
    second.socket.write(GO_INIT);
    await second.read(49);
    const third = await client();
    await once(first.socket, 'end');
    await third.open(OTHER);
    second.socket.write(commandOf(UUID));
    assert.equal((await second.read(258))[0], 1);
    assert.equal(listener.stats.drops.get('handshake-unfinished'), 1);
  });

  it('a handshake that takes too long is over', async () => {
    await open({ ...VPNKIT_LIMITS, handshakeMs: 20 });
    const late = await client();
    late.socket.write(GO_INIT);
    await late.read(49);
    await late.readToEnd();
    assert.equal(listener.stats.drops.get('handshake-unfinished'), 1);
  });

  it('a guest that is known and away gives its place to a new one', async () => {
    const kept = new Set<number>();
    await open(VPNKIT_LIMITS, {
      reserve: (mac) => {
        kept.add(mac);
        return undefined;
      },
      release: (mac) => kept.delete(mac),
    });
    acceptor.limit = 1_000;
    for (let i = 0; i < 258; i++) {
      const one = await client();
      await one.open(`11111111-2222-4333-8444-${String(i).padStart(12, '0')}`);
      const link = await acceptor.link(i);
      one.close();
      await link.until(() => link.downs === 1);
    }
    assert.equal(kept.size, 256);
  });

  it('ends with whole frames and no reset, whatever is under way', async () => {
    await open();
    const stuck = await client();
    await stuck.open(UUID);
    const link = await acceptor.link(0);
    stuck.send(frameTo('all', 1));
    await link.until(() => link.frames.length === 1);
    stuck.stopReading();
    let sent = 0;
    while (send(link, frameTo('one', 9, 1514))) sent++;
    const closed = listener.close();
    stuck.readOn();
    stuck.send(frameTo('all', 2)); // it does not know yet
    const frames = await stuck.readToEnd();
    assert.ok(frames > 10 && frames <= sent, `${frames} of ${sent}`);
    stuck.send(frameTo('all', 3));
    stuck.socket.end();
    await once(stuck.socket, 'close');
    await closed;
    assert.equal(stuck.failure, undefined);
    assert.ok(!existsSync(path));
    assert.equal(link.downs, 1);
  });

  it('a peer that neither reads nor ends does not hold up the end for long', async () => {
    await open();
    const stuck = await client();
    await stuck.open(UUID);
    const link = await acceptor.link(0);
    stuck.stopReading();
    while (send(link, frameTo('all', 9, 1514)));
    await listener.close();
    assert.equal(listener.stats.linksOpen, 0);
  });

  it('frames longer than the client was promised are not sent', async () => {
    await open();
    await (await client()).open(UUID);
    const link = await acceptor.link(0);
    assert.equal(link.writer.longestFrame, 1550);
  });

  it('serves on, whatever others send', async () => {
    await open();
    const starts = [Buffer.alloc(0), GO_INIT, Buffer.concat([GO_INIT, commandOf(UUID)])];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...starts),
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }),
        async (start, chunks) => {
          const stranger = connect(path);
          stranger.on('error', () => {}).resume();
          await once(stranger, 'connect');
          stranger.write(start);
          for (const chunk of chunks) stranger.write(chunk);
          stranger.end();
          await once(stranger, 'close');
        },
      ),
      { numRuns: 60 },
    );
    const vif = await (await client()).open(OTHER);
    assert.equal(vif.mtu, 1500);
    assert.equal(listener.stats.linksOpen, 1);
  });

  it('promises no more than 16 bits hold', async () => {
    await open(VPNKIT_LIMITS, ANY_ADDRESS, 65_520);
    assert.equal((await (await client()).open(UUID)).longest, 65_535);
  });

  it('serves TCP, and names the port it got', async () => {
    listener = await VpnkitListener.open({ host: '127.0.0.1', port: 0 }, contextFor(acceptor));
    const port = Number(/^vpnkit:127\.0\.0\.1:(\d+)$/.exec(listener.description)?.[1]);
    const over = await Vmn3tClient.at({ port });
    clients.push(over);
    await over.open(UUID);
  });
});
