/** The device over rings in plain memory, with a backend that only counts. */
import assert from 'node:assert/strict';
import { BufferPool } from '../../../src/base/buffer-pool.ts';
import { SILENT } from '../../../src/base/log.ts';
import { slabOver } from '../../../src/base/slab.ts';
import { NEVER } from '../../../src/base/time.ts';
import { VhostUserBackend } from '../../../src/transports/vhost-user/backend.ts';
import * as p from '../../../src/transports/vsock/packet.ts';
import { VhostVsockDevice } from '../../../src/transports/vsock/vhost-vsock-device.ts';
import { ownTurns } from '../../support/turns.ts';
import { GuestDriver } from '../vhost-user/guest-driver.ts';
import { Recorder } from './guest.ts';

const CID = 42;
const TX_AT = 0x8000;
const RX_AT = 0x20_000;

class Lab {
  readonly deferred: (() => void)[] = [];
  readonly ups: boolean[] = [];
  readonly handler = new Recorder();
  rx = new GuestDriver(256);
  tx = new GuestDriver(256);
  readonly device: VhostVsockDevice;

  constructor() {
    this.device = new VhostVsockDevice({
      settings: {
        guestCid: CID,
        window: 4096,
        sendBuffer: 4096,
        maxStreams: 4,
        connectTimeoutMs: 1000,
        firstPort: 5000,
        pool: new BufferPool(1 << 20),
      },
      clock: { now: () => 0 },
      log: SILENT,
      turns: ownTurns({ now: () => 0 }, (run) => this.deferred.push(run)),
      defer: (run) => this.deferred.push(run),
      onFlushed: () => undefined,
      onRequest: (now, request) => request.accept(now, this.handler),
      onGuest: (up) => this.ups.push(up),
    });
    const fds = {
      isCounter: () => true,
      map: () => ({ view: () => new Uint8Array(0), unmap: () => undefined }),
      watch: () => ({ close: () => undefined }),
      signal: () => undefined,
      close: () => undefined,
    };
    this.device.queues.onConnect(new VhostUserBackend(this.device.queues, fds));
    this.start(false);
  }

  /** @param base index of the next chain in both queues */
  start(resumed: boolean, base = 0): void {
    this.device.queues.onQueueStart(0, this.rx.queue(false, base), resumed, 0n);
    this.device.queues.onQueueStart(1, this.tx.queue(false, base), resumed, 0n);
  }

  /** The guest sends a packet without payload. */
  put(op: number, guestPort: number): void {
    const packet = slabOver(new Uint8Array(p.VSOCK_HEADER_LEN));
    p.emitAddresses(packet.view, CID, guestPort, p.HOST_CID, 80);
    p.emitPacket(packet.view, op, 0, 0, 4096, 0);
    this.tx.slab.bytes.set(packet.bytes, TX_AT);
    this.tx.lend([{ off: TX_AT, len: p.VSOCK_HEADER_LEN }]);
  }

  lendBuffers(count: number, len = 4096): void {
    for (let i = 0; i < count; i++) {
      this.rx.lend([{ off: RX_AT + 4096 * i, len, writable: true }]);
    }
  }

  /** Operations of the packets that the guest got. */
  got(): number[] {
    return this.rx.reap().map((_, i) => {
      const view = new DataView(this.rx.slab.bytes.buffer, RX_AT + 4096 * i, p.VSOCK_HEADER_LEN);
      return p.packetOp(view);
    });
  }

  runDeferred(): void {
    for (const run of this.deferred.splice(0)) run();
  }
}

describe('transports/vsock/vhost-vsock-device', () => {
  it('announces its CID to the driver', () => {
    assert.deepEqual([...new Lab().device.queues.config], [CID, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('waits for buffers, and goes on when they are kicked', () => {
    const lab = new Lab();
    lab.put(p.OP_REQUEST, 1);
    lab.device.queues.onKick(1);
    assert.deepEqual(lab.got(), []);
    lab.lendBuffers(1);
    lab.device.queues.onKick(0);
    assert.deepEqual(lab.got(), [p.OP_RESPONSE]);
    assert.equal(lab.tx.reap().length, 1);
  });

  it('gives buffers back that hold no header, and uses the next', () => {
    const lab = new Lab();
    lab.rx.lend([{ off: RX_AT, len: p.VSOCK_HEADER_LEN - 1, writable: true }]);
    lab.rx.lend([{ off: RX_AT, len: p.VSOCK_HEADER_LEN, writable: true }]);
    lab.put(p.OP_REQUEST, 1);
    lab.device.queues.onKick(1);
    assert.deepEqual(
      lab.rx.reap().map(({ len }) => len),
      [0, p.VSOCK_HEADER_LEN],
    );
  });

  it('takes a bounded burst at a time', () => {
    const lab = new Lab();
    for (let i = 0; i < 150; i++) lab.put(p.OP_RST, 1);
    lab.device.queues.onKick(1);
    assert.equal(lab.tx.reap().length, 64);
    lab.device.queues.onKick(1); // the rest is due already
    assert.equal(lab.tx.reap().length, 0);
    lab.runDeferred();
    lab.runDeferred();
    assert.equal(lab.tx.reap().length, 86);
    assert.deepEqual(lab.deferred, []);
  });

  it('counts packets shorter than a header', () => {
    const lab = new Lab();
    lab.tx.lend([{ off: TX_AT, len: p.VSOCK_HEADER_LEN - 1 }]);
    lab.device.queues.onKick(1);
    assert.equal(lab.device.endpoint.drops.get('truncated'), 1);
    assert.equal(lab.tx.reap().length, 1);
  });

  for (const [what, queue, index] of [
    ['receive', 'rx', 0],
    ['transmit', 'tx', 1],
  ] as const) {
    it(`is down after a fault in the ${what} ring, until the driver restarts`, () => {
      const lab = new Lab();
      lab.lendBuffers(1);
      lab.put(p.OP_REQUEST, 1);
      lab.device.queues.onKick(1);
      assert.equal(lab.device.endpoint.streamsOpen, 1);
      lab[queue].offer(9999);
      lab.device.queues.onKick(index);
      if (index === 0) {
        lab.put(p.OP_CREDIT_REQUEST, 1);
        lab.device.queues.onKick(1);
      }
      assert.equal(lab.device.isUp, false);
      assert.equal(lab.device.queueFaults, 1);
      assert.deepEqual(lab.handler.events, ['closed link-down']);
      lab.device.queues.onKick(1);
      lab.device.queues.onQueueStop(0);
      lab.device.queues.onQueueStop(1);
      lab.rx = new GuestDriver(256);
      lab.tx = new GuestDriver(256);
      lab.start(false);
      assert.deepEqual(lab.ups, [true, false, true]);
    });
  }

  it('keeps its streams when the driver goes on, not when it restarts', () => {
    const lab = new Lab();
    lab.lendBuffers(1);
    lab.put(p.OP_REQUEST, 1);
    lab.device.queues.onKick(1);
    const stop = (): void => {
      lab.device.queues.onQueueStop(0);
      lab.device.queues.onQueueStop(1);
    };
    stop();
    lab.start(true, 1);
    assert.equal(lab.device.endpoint.streamsOpen, 1);
    stop();
    lab.rx = new GuestDriver(256);
    lab.tx = new GuestDriver(256);
    lab.start(false);
    assert.equal(lab.device.endpoint.streamsOpen, 0);
    assert.deepEqual(lab.handler.events, ['closed link-down']);
    assert.equal(lab.device.endpoint.nextDeadline, NEVER);
  });
});
