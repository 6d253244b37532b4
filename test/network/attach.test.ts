import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex, PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { startFileServer } from '../../src/lab/file-server.ts';
import type { SimulatedGuest } from '../../src/lab/guest/simulated-guest.ts';
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import type { Attachment } from '../../src/network/links.ts';
import type { Network } from '../../src/network/network-interface.ts';
import { FrameLink, type PlainFrameReader } from '../../src/transports/frame-link.ts';
import type { OpenLink } from '../../src/transports/link-context.ts';
import { duplexPair, guestBehind, guestOnStream, socketPair } from './attached-guest.ts';

const HOST = '192.168.127.254';
const SIZE = 1024 * 1024 + 17;
const FIXTURE = fileURLToPath(new URL('./attach-fixture.js', import.meta.url));

interface Attached {
  readonly attachment: Attachment;
  readonly guest: SimulatedGuest;
  /** The guest's end. */
  readonly link: Pick<OpenLink, 'close'>;
}

describe('network/attach', () => {
  let dir: string;
  let network: Network;
  let server: Server;
  const undo: (() => unknown)[] = [];

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    network = await createNetwork();
    server = await startFileServer('127.0.0.1', 0);
  });
  afterEach(async () => {
    await network.close();
    for (const step of undo.splice(0)) await step();
    server.closeAllConnections();
    server.close();
    rmSync(dir, { recursive: true });
  });

  const onSockets = async (path: string | undefined): Promise<Attached> => {
    const { ends, server: listening } = await socketPair(path);
    undo.push(() => listening.close());
    const attachment = network.attach(ends[0]);
    return { attachment, ...guestOnStream(ends[1]) };
  };
  const onFrames = (): Attached => {
    let toGuest: PlainFrameReader | undefined;
    const write = (frame: Uint8Array): void => {
      toGuest?.onFrame(frame);
    };
    const attachment = network.attach({ write });
    const behind = guestBehind((context) => {
      const link = new FrameLink({ write: fromGuest }, 'guest', context);
      toGuest = link;
      return link;
    });
    function fromGuest(frame: Uint8Array): void {
      attachment.reader.onFrame(frame);
    }
    return { attachment, guest: behind.guest, link: { close: () => attachment.detach() } };
  };
  const KINDS: readonly [string, () => Attached | Promise<Attached>][] = [
    ['a Unix socket', () => onSockets(join(dir, 'link.sock'))],
    ['a TCP connection', () => onSockets(undefined)],
    [
      'a Duplex that is no socket',
      () => {
        const [ours, theirs] = duplexPair();
        const attachment = network.attach(ours, { framing: 'qemu', name: 'pair' });
        return { attachment, ...guestOnStream(theirs) };
      },
    ],
    ['a writer and a reader of frames', onFrames],
  ];

  for (const [kind, attach] of KINDS) {
    it(`a guest on ${kind} has a network, and may leave`, async () => {
      const { attachment, guest, link } = await attach();
      undo.push(() => guest.close());
      const address = server.address();
      assert.ok(typeof address === 'object' && address !== null);
      const { address: leased } = await guest.lease();
      assert.equal(leased, '192.168.127.2');
      assert.ok((await guest.ping('192.168.127.1')) >= 0);
      const url = `http://${HOST}:${address.port}`;
      const down = await guest.download(`${url}/bytes/${SIZE}?seed=7`, () => {});
      const up = await guest.upload(`${url}/sink`, 7, SIZE, () => {});
      for (const { bytes, sha256 } of [down, up]) {
        assert.deepEqual([bytes, sha256], [SIZE, seededSha256(7, SIZE)]);
      }
      assert.deepEqual(network.view.info().links, [{ link: attachment.name, attachedGuests: 1 }]);
      assert.equal(network.view.guests()[0]?.link, attachment.name);
      await link.close();
      await attachment.closed;
      assert.deepEqual(network.view.info().links, []);
      assert.equal(network.view.guests()[0]?.link, null);
    });

    it(`detaching ${kind} ends the link, once`, async () => {
      const { attachment, guest } = await attach();
      undo.push(() => guest.close());
      await guest.lease();
      await attachment.detach();
      await attachment.detach();
      await attachment.closed;
      assert.deepEqual(network.view.info().links, []);
    });

    it(`closing the network ends ${kind}`, async () => {
      const { attachment, guest } = await attach();
      undo.push(() => guest.close());
      await network.close();
      await attachment.closed;
    });
  }

  it('a program that opens one network after the other leaves its event loop a turn for each', async () => {
    for (let n = 0; n < 3; n++) {
      let hasTurned = false;
      setImmediate(() => {
        hasTurned = true;
      });
      const one = await createNetwork();
      one.attach({ write: () => true });
      await one.close();
      assert.ok(hasTurned);
    }
  });

  it('an inherited descriptor is a link, and a stream of a child is one', async () => {
    const child: ChildProcess = spawn(process.execPath, [FIXTURE], {
      stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
    });
    undo.push(() => child.kill());
    const { stdout, stdio } = child;
    const link = stdio[3];
    assert.ok(stdout !== null && link instanceof Duplex);
    const [line] = await once(stdout, 'data');
    assert.equal(String(line), 'inherited\n');
    const { guest } = guestOnStream(link);
    assert.equal((await guest.lease()).router, '192.168.127.1');
    await guest.close();
    link.destroy(); // it is the link's: nothing happens
    child.kill();
    await once(child, 'exit');
  });

  it('what was read of a stream before it was attached is not lost', async () => {
    const { ends, server: listening } = await socketPair(undefined);
    undo.push(() => listening.close());
    const [ours, theirs] = ends;
    theirs.write(Buffer.from([0, 0, 0, 60]));
    await once(ours, 'readable');
    const attachment = network.attach(ours);
    theirs.write(Buffer.alloc(60));
    await new Promise<void>((resolve) => {
      const isThere = (): void => {
        if (network.view.traffic().framesToHost === 1) resolve();
        else setImmediate(isThere);
      };
      isThere();
    });
    theirs.destroy();
    await attachment.closed;
  });

  it('an impossible length ends the link', async () => {
    const [ours, theirs] = duplexPair();
    const { closed } = network.attach(ours);
    theirs.write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    await closed;
  });

  it('a framing of the program cuts the stream', async () => {
    const [ours, theirs] = duplexPair();
    const framing = {
      headerLen: 2,
      readLength: (view: DataView, off: number) => view.getUint16(off, true),
      writeLength: (view: DataView, off: number, len: number) => view.setUint16(off, len, true),
    };
    network.attach(ours, { framing });
    theirs.write(Buffer.from([60, 0, ...Buffer.alloc(60), 61, 0, ...Buffer.alloc(61)]));
    await new Promise<void>((resolve) => {
      const isThere = (): void => {
        if (network.view.traffic().bytesToHost === 121) resolve();
        else setImmediate(isThere);
      };
      isThere();
    });
  });

  it('a name that is given is the name of the link', () => {
    const { name } = network.attach({ write: () => {} }, { name: 'vm 7' });
    assert.equal(name, 'vm 7');
    assert.equal(network.attach({ write: () => {} }).name, 'frames#1');
  });

  it('refuses what is no link, and says why', async () => {
    const file = openSync(FIXTURE, 'r');
    const objects = new PassThrough({ objectMode: true });
    const text = new PassThrough();
    text.setEncoding('utf8');
    const gone = new PassThrough();
    gone.destroy();
    for (const [link, why] of [
      [file, /descriptor \d+ is not that of a connected stream socket/],
      [-1, /-1 is not a descriptor/],
      [1.5, /1\.5 is not a descriptor/],
      [objects, /must be a stream of bytes, not of objects$/],
      [text, /must be a stream of bytes, not of text$/],
      [gone, /must be readable and writable/],
    ] as const) {
      const attach = (): unknown =>
        typeof link === 'number' ? network.attach(link) : network.attach(link);
      assert.throws(attach, { code: 'ERR_HAWSER_LINK', message: why });
    }
    for (const place of ['/dev/null', '/dev/zero', '/proc', '/proc/self/exe']) {
      const fd = openSync(place, 'r');
      for (const framing of ['packet', 'packet-vnet'] as const) {
        const message = /is neither a socket nor a network device such as a TAP$/;
        const attach = (): unknown => network.attach(fd, { framing });
        assert.throws(attach, { code: 'ERR_HAWSER_LINK', message }, place);
      }
      closeSync(fd);
    }
    for (const writer of ['{}', 'null', '"eth0"', '{ "write": 1 }']) {
      const attach = (): unknown => network.attach(JSON.parse(writer));
      const message = /neither a Duplex, nor a descriptor, nor an object with a function "write"$/;
      assert.throws(attach, { code: 'ERR_HAWSER_LINK', message });
    }
    const unflushed = Object.assign({ write: () => {} }, JSON.parse('{ "flush": true }'));
    assert.throws(() => network.attach(unflushed), /its "flush" is not a function/);
    assert.equal(network.view.info().links.length, 0);
    await network.close();
    assert.throws(() => network.attach({ write: () => {} }), /the network is closed/);
  });

  it('refuses a stream that a link has, of this network or another', async () => {
    const [card] = duplexPair();
    network.attach(card);
    const other = await createNetwork();
    try {
      for (const one of [network, other]) {
        const message = /: the stream is in use already, by a link or a flow$/;
        assert.throws(() => one.attach(card), { code: 'ERR_HAWSER_LINK', message });
      }
      assert.equal(network.view.info().links.length, 1);
    } finally {
      await other.close();
    }
  });

  it('refuses options that are none, and leaves the stream to its owner', () => {
    const [card] = duplexPair();
    for (const [options, why] of [
      ['"vm"', /its options must be an object, got "vm"$/],
      ['null', /its options must be an object, got null$/],
      ['{ "name": 5 }', /: name must be a text that is not empty, got 5$/],
      ['{ "name": "" }', /: name must be a text that is not empty, got ""$/],
      ['{ "framing": "qmeu" }', /its framing must be qemu, .* got "qmeu"$/],
      ['{ "framing": 2 }', /its framing must be qemu, .* got 2$/],
    ] as const) {
      const attach = (): unknown => network.attach(card, JSON.parse(options));
      assert.throws(attach, { code: 'ERR_HAWSER_LINK', message: why }, options);
    }
    assert.equal(network.view.info().links.length, 0);
    network.attach(card);
  });

  it('a stream that there was no room for is closed, and counts as attached nowhere', () => {
    const [card] = duplexPair();
    for (let i = 0; i < 256; i++) network.attach({ write: () => {} });
    assert.throws(() => network.attach(card), /too many links/);
    assert.throws(() => network.attach(card), /: it must be readable and writable$/);
    assert.equal(card.destroyed, true);
  });

  it('at 256 links the next one is refused', () => {
    for (let i = 0; i < 256; i++) network.attach({ write: () => {} });
    assert.throws(() => network.attach({ write: () => {} }), /too many links/);
    assert.throws(() => network.attach(duplexPair()[0]), /too many links/);
    assert.equal(network.view.info().links.length, 256);
  });
});
