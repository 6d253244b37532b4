/** The card over rings in plain memory, driven through the backend's messages. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { FrameWriter } from '../../../src/stack/link.ts';
import { NET_FEATURES } from '../../../src/transports/vhost-net/net-features.ts';
import { VhostNetDevice } from '../../../src/transports/vhost-net/vhost-net-device.ts';
import {
  bit,
  GET_VRING_BASE,
  VIRTIO_F_VERSION_1,
} from '../../../src/transports/vhost-user/message.ts';
import { ownTurns } from '../../support/turns.ts';
import { contextFor, type RecordedLink, RecordingAcceptor } from '../recorder.ts';
import { Frontend, u32 } from '../vhost-user/frontend.ts';
import { GuestDriver } from '../vhost-user/guest-driver.ts';

const RX = 0;
const TX = 1;
const QUEUE_SIZE = 256;
const RX_RING = 0;
const TX_RING = 0x4000;
const TX_AT = 0x8000;
const RX_AT = 0x40_000;
const MODERN = bit(VIRTIO_F_VERSION_1);
const ALL = NET_FEATURES | MODERN;
const MRG_RXBUF = bit(15);
const HEADER = Buffer.alloc(12);
const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const FRAME = Buffer.from('02000000000102000000000208000102030405', 'hex');

const frameOf = (len: number): Buffer => {
  const frame = Buffer.from(Uint8Array.from({ length: len }, (_, i) => i ^ (i >> 8)));
  FRAME.copy(frame);
  return frame;
};

/** Their slabs are given back after each test. */
const made: Lab[] = [];

class Lab {
  readonly acceptor = new RecordingAcceptor();
  readonly deferred: (() => void)[] = [];
  private readonly defer = (run: () => void): unknown => this.deferred.push(run);
  readonly device = new VhostNetDevice(
    'vhost-user:/v',
    { ...contextFor(this.acceptor), turns: ownTurns({ now: () => 0 }, this.defer) },
    this.defer,
  );
  readonly frontend = new Frontend(this.device.queues);
  rx = this.driver(RX_RING);
  tx = this.driver(TX_RING);

  constructor(features = ALL) {
    made.push(this);
    this.device.queues.onConnect(this.frontend.backend);
    this.start(features);
  }

  private driver(at: number): GuestDriver {
    return new GuestDriver(QUEUE_SIZE, at, this.frontend.fds.slab);
  }

  start(features: bigint, base = 0): void {
    this.frontend.negotiate(features);
    this.frontend.start(RX, base, 20, 21, this.rx);
    this.frontend.start(TX, base, 22, 23, this.tx);
  }

  stop(): void {
    for (const index of [RX, TX]) this.frontend.send(GET_VRING_BASE, u32(index, 0));
  }

  /** Another driver takes over, with rings of its own. */
  restart(features = ALL): void {
    this.stop();
    this.frontend.fds.slab.bytes.fill(0, 0, TX_AT);
    this.rx = this.driver(RX_RING);
    this.tx = this.driver(TX_RING);
    this.start(features);
  }

  get link(): RecordedLink {
    const link = this.acceptor.links.at(-1);
    assert.ok(link);
    return link;
  }

  get writer(): FrameWriter {
    return this.link.writer;
  }

  get bytes(): Uint8Array {
    return this.frontend.fds.slab.bytes;
  }

  kick(index: number): void {
    this.frontend.fds.kicks.get(index === RX ? 20 : 22)?.();
  }

  /** The guest sends bytes that lie in pieces of these lengths; no kick yet. */
  put(bytes: Uint8Array, ...cuts: number[]): void {
    this.bytes.set(bytes, TX_AT);
    let off = TX_AT;
    const end = TX_AT + bytes.length;
    const pieces = [...cuts, bytes.length].flatMap((len) => {
      const piece = { off, len: Math.min(len, end - off) };
      off += piece.len;
      return piece.len > 0 ? [piece] : [];
    });
    this.tx.lend(pieces);
  }

  lendBuffers(count: number, len: number): void {
    for (let i = 0; i < count; i++) {
      this.rx.lend([{ off: RX_AT + len * i, len, writable: true }]);
    }
  }

  /** What the guest got, buffer by buffer. */
  got(): Buffer[] {
    return this.rx.reap().map(({ head, len }) => {
      const at = RX_AT + head * this.rx.slab.view.getUint32(RX_RING + 8, true);
      return Buffer.from(this.bytes.slice(at, at + len));
    });
  }

  get signals(): readonly number[] {
    return this.frontend.fds.signals;
  }

  drops(): Record<string, number> {
    return { ...this.device.stats.drops.snapshot() };
  }
}

describe('transports/vhost-net/vhost-net-device', () => {
  afterEach(() => {
    for (const { device } of made.splice(0)) device.release();
  });

  it('attaches a link when a driver runs both queues', () => {
    const lab = new Lab();
    assert.deepEqual(
      lab.acceptor.links.map(({ name }) => name),
      ['vhost-user:/v#1'],
    );
    assert.ok(lab.writer.offload);
    assert.equal(lab.device.stats.linksOpen, 1);
  });

  for (const [flags, checksum] of [
    [0, 'unknown'],
    [NEEDS_CSUM, 'partial'],
    [DATA_VALID, 'valid'],
  ] as const) {
    it(`takes header flags ${flags} for a checksum that is ${checksum}`, () => {
      const lab = new Lab();
      const header = Buffer.from(HEADER);
      header[0] = flags;
      header[6] = 34;
      header[8] = 16;
      lab.put(Buffer.concat([header, FRAME]));
      lab.kick(TX);
      assert.deepEqual(lab.link.frames, [{ bytes: FRAME, checksum }]);
    });
  }

  it('gathers frames from any pieces, and delivers a burst as one batch', () => {
    const lab = new Lab();
    const frame = frameOf(65_560);
    for (const cuts of [[], [12], [5, 3, 100], [12, 14, 20, 32_768]]) {
      lab.put(Buffer.concat([HEADER, frame]), ...cuts);
      lab.kick(TX);
    }
    assert.ok(lab.link.frames.every(({ bytes }) => bytes.equals(frame)));
    assert.equal(
      lab.link.batches - lab.link.frames.length,
      1,
      'one batch a kick, and at the start',
    );
    for (let i = 0; i < 3; i++) lab.put(Buffer.concat([HEADER, FRAME]));
    lab.kick(TX);
    assert.equal(lab.link.frames.length, 7);
    assert.equal(lab.link.batches, 6);
    assert.deepEqual(
      lab.tx.reap().map(({ len }) => len),
      Array.from({ length: 7 }, () => 0),
    );
    assert.equal(lab.device.stats.framesToHost, 7);
    assert.equal(lab.device.stats.bytesToHost, 4 * 65_560 + 3 * FRAME.length);
  });

  it('drops and counts what is no frame', () => {
    const lab = new Lab();
    lab.put(HEADER.subarray(0, 4));
    lab.put(Buffer.alloc(12 + 13));
    lab.put(Buffer.alloc(12 + 65_561));
    lab.kick(TX);
    assert.equal(lab.link.frames.length, 0);
    assert.deepEqual(lab.drops(), { 'runt-frame': 2, 'oversized-frame': 1 });
    assert.equal(lab.tx.reap().length, 3);
  });

  it('writes a frame behind its header, and a longer one into several buffers', () => {
    const lab = new Lab();
    lab.lendBuffers(6, 100);
    lab.link.send(FRAME);
    const long = frameOf(300);
    lab.link.send(long);
    const [first, ...rest] = lab.got();
    assert.equal(first?.toString('hex'), `${'00'.repeat(10)}0100${FRAME.toString('hex')}`);
    assert.deepEqual(
      rest.map(({ length }) => length),
      [100, 100, 100, 12],
    );
    const header = Buffer.concat([HEADER.subarray(0, 10), Buffer.of(4, 0)]);
    assert.ok(Buffer.concat(rest).equals(Buffer.concat([header, long])));
    assert.ok(lab.link.send(FRAME), 'buffers not needed are still there');
    assert.equal(lab.device.stats.framesToGuest, 3);
  });

  it('leaves summing and cutting to the guest', () => {
    const lab = new Lab();
    lab.lendBuffers(1, 2000);
    const { writer } = lab;
    writer.slab.bytes.set(FRAME, writer.reserve(FRAME.length));
    writer.commitOffload(FRAME.length, {
      csumStart: 34,
      csumOffset: 16,
      gsoType: 'tcp4',
      gsoSize: 1448,
      headerLen: 66,
    });
    const [bytes] = lab.got();
    assert.equal(bytes?.toString('hex'), `01014200a805220010000100${FRAME.toString('hex')}`);
  });

  it('forgets a frame that is given up', () => {
    const lab = new Lab();
    lab.lendBuffers(1, 200);
    assert.ok(lab.writer.reserve(100) >= 0);
    lab.writer.commit(0);
    assert.deepEqual(lab.got(), []);
    assert.ok(lab.link.send(FRAME));
  });

  it('calls the guest once a batch, and not when it does not want it', () => {
    const lab = new Lab();
    lab.lendBuffers(6, 100);
    for (let i = 0; i < 3; i++) lab.link.send(FRAME);
    assert.deepEqual(lab.signals, []);
    lab.writer.flush();
    lab.writer.flush();
    assert.deepEqual(lab.signals, [21]);
    lab.rx.slab.view.setUint16(lab.rx.avail, 1, true);
    lab.link.send(FRAME);
    lab.writer.flush();
    assert.deepEqual(lab.signals, [21]);
  });

  it('waits for buffers when there are too few, and goes on when they are kicked', () => {
    const lab = new Lab();
    const noNotify = (): boolean => lab.rx.slab.view.getUint16(lab.rx.used, true) === 1;
    lab.lendBuffers(2, 100);
    assert.ok(noNotify());
    assert.equal(lab.link.send(frameOf(300)), false);
    assert.equal(noNotify(), false);
    assert.equal(lab.device.stats.stalls, 1);
    lab.lendBuffers(1, 100);
    lab.kick(RX);
    assert.equal(lab.link.writable, 1);
    assert.equal(lab.link.send(frameOf(300)), false, 'still too few');
    lab.lendBuffers(1, 100);
    assert.equal(lab.link.send(FRAME), false, 'not before the kick');
    lab.kick(RX);
    assert.ok(lab.link.send(frameOf(300)));
    assert.ok(noNotify());
    lab.kick(RX);
    assert.equal(lab.link.writable, 2, 'nobody waits');
    assert.equal(lab.got().length, 4);
  });

  it('asks for the kick of the next buffer by the event index', () => {
    const lab = new Lab(ALL | bit(29));
    lab.lendBuffers(2, 100);
    assert.equal(lab.link.send(frameOf(300)), false);
    const event = lab.rx.used + 4 + 8 * QUEUE_SIZE;
    assert.equal(lab.rx.slab.view.getUint16(event, true), 2);
  });

  it('spreads a frame over 64 buffers at most', () => {
    const lab = new Lab();
    lab.lendBuffers(65, 1000);
    const most = 64 * 1000 - 12;
    assert.ok(lab.link.send(frameOf(most + 1)), 'taken, and dropped');
    assert.deepEqual(lab.drops(), { 'guest-buffer-too-small': 1 });
    assert.deepEqual(lab.got(), []);
    lab.link.send(frameOf(most));
    assert.equal(lab.got().length, 64);
  });

  it('follows no more than 1024 crumbs of buffers for a frame', () => {
    const lab = new Lab();
    const crumbs = Array.from({ length: 20 }, () => ({ off: RX_AT, len: 0, writable: true }));
    for (let i = 0; i < 64; i++) lab.rx.lend(crumbs.slice(0, 20));
    lab.link.send(FRAME);
    assert.deepEqual(lab.drops(), { 'guest-buffer-too-small': 1 });
  });

  it('spreads no frame where buffers are not merged', () => {
    const lab = new Lab(ALL & ~MRG_RXBUF);
    lab.lendBuffers(2, 100);
    lab.link.send(frameOf(89));
    lab.link.send(frameOf(88));
    assert.deepEqual(lab.drops(), { 'guest-buffer-too-small': 1 });
    assert.deepEqual(
      lab.got().map(({ length }) => length),
      [100],
    );
  });

  it('has the short header with a driver of old, and cuts for one that does not', () => {
    const lab = new Lab(0n);
    assert.equal(lab.writer.offload, false);
    lab.lendBuffers(1, 100);
    lab.link.send(FRAME);
    assert.equal(lab.got()[0]?.toString('hex'), `${'00'.repeat(10)}${FRAME.toString('hex')}`);
    lab.put(Buffer.concat([HEADER.subarray(0, 10), FRAME]));
    lab.kick(TX);
    assert.deepEqual(lab.link.frames, [{ bytes: FRAME, checksum: 'unknown' }]);
  });

  it('takes a bounded burst at a time', () => {
    const lab = new Lab();
    for (let i = 0; i < 100; i++) lab.put(Buffer.concat([HEADER, FRAME]));
    lab.kick(TX);
    assert.equal(lab.link.frames.length, 64);
    for (const run of lab.deferred.splice(0)) run();
    assert.equal(lab.link.frames.length, 100);
  });

  for (const [what, queue] of [
    ['receive', 'rx'],
    ['transmit', 'tx'],
  ] as const) {
    it(`is down after a fault in the ${what} ring, until the driver restarts`, () => {
      const lab = new Lab();
      if (queue === 'tx') lab.lendBuffers(1, 100);
      lab[queue].offer(9999);
      if (queue === 'tx') lab.kick(TX);
      else {
        assert.equal(lab.link.send(FRAME), false);
        assert.equal(lab.link.downs, 0, 'not amid the sending');
        for (const run of lab.deferred.splice(0)) run();
      }
      assert.equal(lab.link.downs, 1);
      assert.deepEqual(lab.drops(), { 'queue-fault': 1 });
      assert.equal(lab.device.stats.linksOpen, 0);
      lab.put(Buffer.concat([HEADER, FRAME]));
      lab.kick(TX);
      assert.equal(lab.link.frames.length, 0);
      assert.equal(lab.link.send(FRAME), false);
      lab.restart();
      assert.equal(lab.acceptor.links.length, 2);
      lab.put(Buffer.concat([HEADER, FRAME]));
      lab.kick(TX);
      assert.equal(lab.link.frames.length, 1);
    });
  }

  it('keeps the link over a pause, and goes on with what waited', () => {
    const lab = new Lab();
    lab.lendBuffers(2, 100);
    lab.put(Buffer.concat([HEADER, FRAME]));
    lab.kick(TX);
    lab.link.send(FRAME);
    lab.stop();
    assert.equal(lab.link.send(FRAME), false);
    lab.start(ALL, 1);
    assert.equal(lab.acceptor.links.length, 1);
    assert.equal(lab.link.downs, 0);
    assert.equal(lab.link.writable, 1);
    assert.ok(lab.link.send(FRAME));
  });

  it('makes a link of its own for each driver, by what that driver accepts', () => {
    const lab = new Lab(MODERN);
    assert.equal(lab.writer.offload, false);
    lab.restart();
    assert.deepEqual(
      lab.acceptor.links.map(({ name, downs }) => [name, downs]),
      [
        ['vhost-user:/v#1', 1],
        ['vhost-user:/v#2', 0],
      ],
    );
    assert.ok(lab.writer.offload);
    lab.frontend.backend.close();
    lab.device.queues.onDisconnect();
    assert.equal(lab.link.downs, 1);
    assert.equal(lab.device.stats.linksOpen, 0);
  });

  it('serves nothing while the table of links is full', () => {
    const lab = new Lab();
    lab.put(Buffer.concat([HEADER, FRAME]));
    lab.kick(TX);
    lab.acceptor.limit = 0;
    lab.restart();
    lab.put(Buffer.concat([HEADER, FRAME]));
    lab.kick(TX);
    assert.deepEqual(lab.drops(), { 'too-many-links': 1 });
    assert.equal(lab.device.stats.linksOpen, 0);
    assert.equal(lab.link.frames.length, 1);
    lab.acceptor.limit = 1;
    lab.restart();
    assert.equal(lab.device.stats.linksOpen, 1);
  });

  it('may be closed while it delivers', () => {
    const lab = new Lab();
    lab.link.onFrameHook = () => {
      lab.frontend.backend.close();
      lab.device.queues.onDisconnect();
    };
    lab.put(Buffer.concat([HEADER, FRAME]));
    lab.put(Buffer.concat([HEADER, FRAME]));
    lab.kick(TX);
    assert.equal(lab.link.frames.length, 1);
    assert.equal(lab.link.downs, 1);
  });

  it('never throws on hostile rings', () => {
    const word = fc.integer({ min: 0, max: 0xffff });
    const writes = fc.array(fc.tuple(fc.integer({ min: 0, max: 0x7fff >> 1 }), word));
    fc.assert(
      fc.property(writes, word, word, (words, rxIndex, txIndex) => {
        const lab = new Lab();
        lab.lendBuffers(3, 100);
        lab.put(Buffer.concat([HEADER, FRAME]));
        for (const [at, value] of words) lab.rx.slab.view.setUint16(2 * at, value, true);
        lab.rx.setAvailIndex(rxIndex & 15);
        lab.tx.setAvailIndex(txIndex & 15);
        lab.kick(TX);
        for (let i = 0; i < 4; i++) lab.link.send(frameOf(500));
        lab.kick(RX);
        for (const run of lab.deferred.splice(0)) run();
      }),
    );
  });
});
