import assert from 'node:assert/strict';
import { makeSlab } from '../../../src/base/slab.ts';
import type { BackendReply, VirtioDevice } from '../../../src/transports/vhost-user/backend.ts';
import * as m from '../../../src/transports/vhost-user/message.ts';
import type { SplitQueue } from '../../../src/transports/vhost-user/split-queue.ts';
import { Frontend, memoryTable, u32, u64 } from './frontend.ts';
import { GuestDriver } from './guest-driver.ts';

class Recorder implements VirtioDevice {
  readonly features: bigint = 2n;
  readonly queueCount = 2;
  config: Uint8Array = Uint8Array.of(42, 0, 0, 0, 0, 0, 0, 0);
  readonly events: string[] = [];
  readonly queues: (SplitQueue | undefined)[] = [];

  onQueueStart(index: number, queue: SplitQueue, resumed: boolean): void {
    this.queues[index] = queue;
    this.events.push(`start ${index}${resumed ? ' resumed' : ''}`);
  }

  onQueueStop(index: number): void {
    this.queues[index] = undefined;
    this.events.push(`stop ${index}`);
  }

  onKick(index: number): void {
    this.events.push(`kick ${index}`);
  }
}

const recorded = (): { frontend: Frontend; device: Recorder } => {
  const device = new Recorder();
  return { frontend: new Frontend(device), device };
};

const replyValue = ({ bytes }: BackendReply): bigint => {
  assert.ok(bytes);
  return new DataView(bytes.buffer).getBigUint64(m.HEADER_LEN, true);
};

describe('transports/vhost-user/backend', () => {
  it('offers features, and refuses those it does not know', () => {
    const frontend = new Frontend(new Recorder());
    const features = replyValue(frontend.send(m.GET_FEATURES));
    assert.equal(features, 2n | m.bit(28) | m.bit(29) | m.bit(30) | m.bit(32));
    assert.equal(replyValue(frontend.send(m.GET_PROTOCOL_FEATURES)), 0x208n);
    assert.equal(replyValue(frontend.send(m.GET_QUEUE_NUM)), 2n);
    assert.equal(frontend.send(m.SET_FEATURES, u64(1n)).fault, 'unknown-feature');
    assert.equal(frontend.send(m.SET_PROTOCOL_FEATURES, u64(1n)).fault, 'unknown-feature');
  });

  it('runs queues, kicks and notifies', () => {
    const { frontend, device } = recorded();
    const { fds, backend } = frontend;
    frontend.negotiate();
    frontend.start(0, 0, 20, 21);
    frontend.start(1, 0, 22, 23);
    assert.deepEqual(device.events, ['start 0', 'start 1']);
    fds.kicks.get(22)?.();
    assert.equal(device.events.at(-1), 'kick 1');
    const driver = new GuestDriver(4, 4096, fds.slab);
    driver.lend([{ off: 0x8000, len: 5 }]);
    const queue = device.queues[1];
    assert.ok(queue !== undefined);
    assert.ok(queue.take());
    queue.give(queue.head, 0);
    backend.notify(0);
    assert.deepEqual(fds.signals, []);
    backend.notify(1);
    assert.deepEqual(fds.signals, [23]);
    assert.deepEqual(fds.closed, [10], 'the memory is mapped: its descriptor is not needed');
    backend.close();
    assert.deepEqual(fds.closed.toSorted(), [10, 20, 21, 22, 23]);
    assert.equal(fds.mapped, 0);
    assert.deepEqual(device.queues, [undefined, undefined]);
  });

  it('distinguishes a driver that goes on from one that has restarted', () => {
    const { frontend, device } = recorded();
    const { fds } = frontend;
    frontend.negotiate();
    frontend.start(1, 0, 22, 23);
    new GuestDriver(4, 4096, fds.slab).lend([{ off: 0x8000, len: 5 }]);
    const queue = device.queues[1];
    assert.ok(queue?.take());
    const { bytes } = frontend.send(m.GET_VRING_BASE, u32(1, 0));
    assert.ok(bytes);
    assert.deepEqual(bytes.slice(m.HEADER_LEN), u32(1, 1));
    assert.ok(fds.closed.includes(22));
    frontend.start(1, 1, 24, 25);
    frontend.send(m.GET_VRING_BASE, u32(1, 0));
    frontend.start(1, 0, 26, 27);
    assert.deepEqual(device.events, ['start 1', 'stop 1', 'start 1 resumed', 'stop 1', 'start 1']);
  });

  it('takes a driver with other features for one that has restarted', () => {
    const { frontend, device } = recorded();
    frontend.negotiate();
    frontend.start(1, 0, 22, 23);
    frontend.send(m.GET_VRING_BASE, u32(1, 0));
    frontend.negotiate();
    frontend.start(1, 0, 24, 25);
    frontend.send(m.GET_VRING_BASE, u32(1, 0));
    frontend.negotiate(m.bit(m.VIRTIO_F_VERSION_1));
    frontend.start(1, 0, 26, 27);
    assert.deepEqual(device.events, ['start 1', 'stop 1', 'start 1 resumed', 'stop 1', 'start 1']);
  });

  it('offers the configuration only of a device that has one', () => {
    const device = new Recorder();
    device.config = new Uint8Array(0);
    const frontend = new Frontend(device);
    assert.equal(replyValue(frontend.send(m.GET_PROTOCOL_FEATURES)), 8n);
  });

  it('moves running queues to a new memory, and stops those that are disabled', () => {
    const { frontend, device } = recorded();
    const { fds } = frontend;
    frontend.negotiate();
    frontend.start(0, 0, 20, 21);
    frontend.ok(m.SET_MEM_TABLE, memoryTable(1), [11]);
    assert.equal(fds.mapped, 1);
    frontend.ok(m.SET_VRING_ENABLE, u32(0, 0));
    fds.kicks.get(20)?.();
    assert.deepEqual(device.events, ['start 0', 'stop 0', 'start 0 resumed', 'stop 0']);
  });

  it('runs a queue that is not enabled before protocol features are negotiated', () => {
    const { frontend, device } = recorded();
    frontend.ok(m.SET_FEATURES, u64(m.bit(32)));
    frontend.ok(m.SET_MEM_TABLE, memoryTable(1), [10]);
    frontend.start(0, 0, 20, 21);
    assert.deepEqual(device.events, ['start 0']);
  });

  it('answers GET_CONFIG with what was asked for, or nothing', () => {
    const frontend = new Frontend(new Recorder());
    const { bytes } = frontend.send(m.GET_CONFIG, u32(0, 8, 0, 0, 0));
    assert.ok(bytes);
    assert.equal(bytes.length, m.HEADER_LEN + 12 + 8);
    assert.equal(bytes[m.HEADER_LEN + 12], 42);
    assert.equal(frontend.send(m.GET_CONFIG, u32(4, 8, 0)).bytes?.length, m.HEADER_LEN);
    assert.equal(frontend.send(m.GET_CONFIG, u32(4)).bytes?.length, m.HEADER_LEN);
  });

  it('acknowledges when asked, with the outcome', () => {
    const frontend = new Frontend(new Recorder());
    frontend.negotiate();
    const needReply = 1 | 8;
    assert.equal(replyValue(frontend.send(m.SET_VRING_NUM, u32(0, 4), [], needReply)), 0n);
    const failed = frontend.send(m.SET_VRING_NUM, u32(2, 4), [], needReply);
    assert.equal(replyValue(failed), 1n);
    assert.equal(failed.fault, 'no-such-queue');
    assert.equal(frontend.send(m.SET_VRING_NUM, u32(0, 4)).bytes, undefined);
  });

  it('never throws on nonsense: it names the fault and closes what came along', () => {
    const cases: readonly [number, Uint8Array, number[], string][] = [
      [99, new Uint8Array(0), [], 'unknown-request'],
      [6, new Uint8Array(16), [], 'unknown-request'],
      [6, new Uint8Array(16), [7], 'bad-descriptors'],
      [m.GET_FEATURES, new Uint8Array(0), [7], 'bad-descriptors'],
      [m.SET_OWNER, new Uint8Array(0), [7, 8], 'bad-descriptors'],
      [m.SET_FEATURES, u32(1), [], 'malformed'],
      [m.SET_MEM_TABLE, u32(1, 0), [7], 'malformed'],
      [m.SET_MEM_TABLE, memoryTable(9), [7], 'malformed'],
      [m.SET_MEM_TABLE, memoryTable(2), [7], 'bad-descriptors'],
      [m.SET_VRING_NUM, u32(1), [], 'malformed'],
      [m.SET_VRING_BASE, u32(2, 0), [], 'no-such-queue'],
      [m.SET_VRING_ADDR, u32(1, 2), [], 'malformed'],
      [m.SET_VRING_KICK, u32(0, 0), [], 'bad-descriptors'],
      [m.SET_VRING_KICK, u32(0x100, 0), [], 'bad-descriptors'],
      [m.SET_VRING_CALL, u32(0, 0), [7, 8], 'bad-descriptors'],
      [m.SET_VRING_CALL, u32(5, 0), [7], 'no-such-queue'],
      [m.GET_VRING_BASE, u32(9, 0), [], 'no-such-queue'],
    ];
    for (const [request, payload, fds, fault] of cases) {
      const frontend = new Frontend(new Recorder());
      assert.equal(frontend.send(request, payload, fds).fault, fault, `request ${request}`);
      assert.deepEqual(frontend.fds.closed, fds);
    }
    for (const request of [m.SET_VRING_KICK, m.SET_VRING_CALL, m.SET_VRING_ERR]) {
      const frontend = new Frontend(new Recorder());
      frontend.fds.others.add(7);
      assert.equal(frontend.send(request, u32(0, 0), [7]).fault, 'not-an-event-counter');
      assert.deepEqual(frontend.fds.closed, [7]);
    }
    const frontend = new Frontend(new Recorder());
    frontend.fds.fail = true;
    assert.equal(frontend.send(m.SET_MEM_TABLE, memoryTable(1), [7]).fault, 'map-failed');
  });
});

describe('transports/vhost-user/message', () => {
  it('checks headers', () => {
    const header = new DataView(new ArrayBuffer(m.HEADER_LEN));
    m.emitHeader(header, 1, m.MAX_PAYLOAD_LEN, false);
    assert.equal(m.checkHeader(header), undefined);
    m.emitHeader(header, 1, m.MAX_PAYLOAD_LEN + 1, false);
    assert.equal(m.checkHeader(header), 'payload-too-long');
    m.emitHeader(header, 1, 0, true);
    assert.equal(m.checkHeader(header), 'reply-from-frontend');
    header.setUint32(4, 2, true);
    assert.equal(m.checkHeader(header), 'bad-version');
  });

  it('takes no region that ends beyond any address', () => {
    const table = makeSlab(40);
    table.view.setUint32(0, 1, true);
    table.view.setBigUint64(8, 1n << 52n, true);
    table.view.setBigUint64(16, 1n << 52n, true);
    assert.equal(m.memoryTable(table.view), undefined);
    table.view.setBigUint64(16, BigInt(m.MAX_MEMORY_LEN), true);
    table.view.setBigUint64(8, 0n, true);
    assert.equal(m.memoryTable(table.view)?.length, 1);
    table.view.setBigUint64(16, BigInt(m.MAX_MEMORY_LEN + 1), true);
    assert.equal(m.memoryTable(table.view), undefined);
    table.view.setBigUint64(16, 0n, true);
    assert.equal(m.memoryTable(table.view), undefined);
  });
});
