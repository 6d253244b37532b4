import assert from 'node:assert/strict';
import { makeSlab, type Slab } from '../../../src/base/slab.ts';
import {
  type BackendReply,
  type FdPort,
  VhostUserBackend,
  type VirtioDevice,
} from '../../../src/transports/vhost-user/backend.ts';
import * as m from '../../../src/transports/vhost-user/message.ts';
import type { SplitQueue } from '../../../src/transports/vhost-user/split-queue.ts';
import { GUEST_BASE, GuestDriver, MEMORY_LEN, USER_BASE } from './guest-driver.ts';

class FakeFds implements FdPort {
  readonly slab: Slab = makeSlab(MEMORY_LEN);
  readonly closed: number[] = [];
  readonly signals: number[] = [];
  readonly kicks = new Map<number, () => void>();
  mapped = 0;
  fail = false;

  map(): { view(off: number, len: number): Uint8Array; unmap(): void } {
    if (this.fail) throw new Error('no');
    this.mapped++;
    return {
      view: (off, len) => this.slab.bytes.subarray(off, off + len),
      unmap: () => {
        this.mapped--;
      },
    };
  }

  watch(fd: number, onKick: () => void): { close(): void } {
    this.kicks.set(fd, onKick);
    return {
      close: () => {
        this.kicks.delete(fd);
        this.closed.push(fd);
      },
    };
  }

  signal(fd: number): void {
    this.signals.push(fd);
  }

  close(fd: number): void {
    this.closed.push(fd);
  }
}

class Recorder implements VirtioDevice {
  readonly features: bigint = 2n;
  readonly protocolFeatures = 0;
  readonly queueCount = 2;
  readonly config: Uint8Array = Uint8Array.of(42, 0, 0, 0, 0, 0, 0, 0);
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

class Frontend {
  readonly fds = new FakeFds();
  readonly device = new Recorder();
  readonly backend = new VhostUserBackend(this.device, this.fds);

  send(
    request: number,
    payload: Uint8Array = new Uint8Array(0),
    fds: number[] = [],
    flags = 1,
  ): BackendReply {
    const header = new DataView(new ArrayBuffer(m.HEADER_LEN));
    m.emitHeader(header, request, payload.length, false);
    header.setUint32(4, flags, true);
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    return this.backend.onMessage(header, view, fds);
  }

  /** As QEMU does it. */
  start(index: number, base: number, kickFd: number, callFd: number): void {
    const driver = new GuestDriver(4, 4096 * index, this.fds.slab);
    this.ok(m.SET_VRING_NUM, u32(index, 4));
    this.ok(m.SET_VRING_BASE, u32(index, base));
    const addr = makeSlab(40);
    addr.view.setUint32(0, index, true);
    [driver.desc, driver.used, driver.avail].forEach((off, i) => {
      addr.view.setBigUint64(8 + 8 * i, BigInt(USER_BASE + off), true);
    });
    this.ok(m.SET_VRING_ADDR, addr.bytes);
    this.ok(m.SET_VRING_KICK, u32(index, 0), [kickFd]);
    this.ok(m.SET_VRING_CALL, u32(index, 0), [callFd]);
    this.ok(m.SET_VRING_ENABLE, u32(index, 1));
  }

  ok(request: number, payload?: Uint8Array, fds?: number[]): void {
    assert.equal(this.send(request, payload, fds).fault, undefined);
  }

  negotiate(): void {
    this.ok(m.SET_OWNER);
    this.ok(m.SET_PROTOCOL_FEATURES, u64(BigInt(m.PROTOCOL_F_REPLY_ACK | m.PROTOCOL_F_CONFIG)));
    this.ok(m.SET_FEATURES, u64(m.bit(30) | m.bit(32) | m.bit(29)));
    this.ok(m.SET_MEM_TABLE, memoryTable(1), [10]);
  }
}

const u32 = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);
const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

function memoryTable(count: number): Uint8Array {
  const table = makeSlab(8 + 32 * count);
  table.view.setUint32(0, count, true);
  for (let i = 0; i < count; i++) {
    [GUEST_BASE, MEMORY_LEN, USER_BASE, 0].forEach((value, word) => {
      table.view.setBigUint64(8 + 32 * i + 8 * word, BigInt(value), true);
    });
  }
  return table.bytes;
}

const replyValue = ({ bytes }: BackendReply): bigint => {
  assert.ok(bytes);
  return new DataView(bytes.buffer).getBigUint64(m.HEADER_LEN, true);
};

describe('transports/vhost-user/backend', () => {
  it('offers features, and refuses those it does not know', () => {
    const frontend = new Frontend();
    const features = replyValue(frontend.send(m.GET_FEATURES));
    assert.equal(features, 2n | m.bit(28) | m.bit(29) | m.bit(30) | m.bit(32));
    assert.equal(replyValue(frontend.send(m.GET_PROTOCOL_FEATURES)), 0x208n);
    assert.equal(replyValue(frontend.send(m.GET_QUEUE_NUM)), 2n);
    assert.equal(frontend.send(m.SET_FEATURES, u64(1n)).fault, 'unknown-feature');
    assert.equal(frontend.send(m.SET_PROTOCOL_FEATURES, u64(1n)).fault, 'unknown-feature');
  });

  it('runs queues, kicks and notifies', () => {
    const frontend = new Frontend();
    const { device, fds, backend } = frontend;
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

  it('tells a driver that goes on from one that has begun anew', () => {
    const frontend = new Frontend();
    const { device, fds } = frontend;
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

  it('moves running queues to a new memory, and stops those that are disabled', () => {
    const frontend = new Frontend();
    const { device, fds } = frontend;
    frontend.negotiate();
    frontend.start(0, 0, 20, 21);
    frontend.ok(m.SET_MEM_TABLE, memoryTable(1), [11]);
    assert.equal(fds.mapped, 1);
    frontend.ok(m.SET_VRING_ENABLE, u32(0, 0));
    fds.kicks.get(20)?.();
    assert.deepEqual(device.events, ['start 0', 'stop 0', 'start 0 resumed', 'stop 0']);
  });

  it('does as told before protocol features: a queue needs not be enabled', () => {
    const frontend = new Frontend();
    frontend.ok(m.SET_FEATURES, u64(m.bit(32)));
    frontend.ok(m.SET_MEM_TABLE, memoryTable(1), [10]);
    frontend.start(0, 0, 20, 21);
    assert.deepEqual(frontend.device.events, ['start 0']);
  });

  it('answers GET_CONFIG with what was asked for, or nothing', () => {
    const frontend = new Frontend();
    const { bytes } = frontend.send(m.GET_CONFIG, u32(0, 8, 0, 0, 0));
    assert.ok(bytes);
    assert.equal(bytes.length, m.HEADER_LEN + 12 + 8);
    assert.equal(bytes[m.HEADER_LEN + 12], 42);
    assert.equal(frontend.send(m.GET_CONFIG, u32(4, 8, 0)).bytes?.length, m.HEADER_LEN);
    assert.equal(frontend.send(m.GET_CONFIG, u32(4)).bytes?.length, m.HEADER_LEN);
  });

  it('acknowledges when asked, with the outcome', () => {
    const frontend = new Frontend();
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
      [6, new Uint8Array(16), [7], 'unknown-request'],
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
      const frontend = new Frontend();
      assert.equal(frontend.send(request, payload, fds).fault, fault, `request ${request}`);
      assert.deepEqual(frontend.fds.closed, fds);
    }
    const frontend = new Frontend();
    frontend.fds.fail = true;
    assert.equal(frontend.send(m.SET_MEM_TABLE, memoryTable(1), [7]).fault, 'map-failed');
  });
});

describe('transports/vhost-user/message', () => {
  it('judges headers', () => {
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
    table.view.setBigUint64(16, 4096n, true);
    assert.equal(m.memoryTable(table.view)?.length, 1);
    table.view.setBigUint64(16, 0n, true);
    assert.equal(m.memoryTable(table.view), undefined);
  });
});
