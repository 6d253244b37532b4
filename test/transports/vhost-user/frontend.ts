/** A vhost-user frontend for tests: it talks to a backend by messages, and kicks it. */
import assert from 'node:assert/strict';
import { makeSlab, type Slab } from '../../../src/base/slab.ts';
import {
  type BackendReply,
  type FdPort,
  VhostUserBackend,
  type VirtioDevice,
} from '../../../src/transports/vhost-user/backend.ts';
import * as m from '../../../src/transports/vhost-user/message.ts';
import { GUEST_BASE, GuestDriver, MEMORY_LEN, USER_BASE } from './guest-driver.ts';

/** Descriptors that are only numbers; all memory is one slab. */
export class FakeFds implements FdPort {
  readonly slab: Slab = makeSlab(MEMORY_LEN);
  readonly closed: number[] = [];
  readonly signals: number[] = [];
  readonly kicks: Map<number, () => void> = new Map();
  mapped = 0;
  fail = false;

  /** What a test passes as something else than an event counter. */
  readonly others: Set<number> = new Set();

  isCounter(fd: number): boolean {
    return !this.others.has(fd);
  }

  map(): 'map-failed' | { view(off: number, len: number): Uint8Array; unmap(): void } {
    if (this.fail) return 'map-failed';
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

/** The messages of a frontend, without a socket. */
export class Frontend {
  readonly fds: FakeFds = new FakeFds();
  readonly backend: VhostUserBackend;

  constructor(device: VirtioDevice) {
    this.backend = new VhostUserBackend(device, this.fds);
  }

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
  start(
    index: number,
    base: number,
    kickFd: number,
    callFd: number,
    driver: GuestDriver = new GuestDriver(4, 4096 * index, this.fds.slab),
  ): void {
    this.ok(m.SET_VRING_NUM, u32(index, driver.size));
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

  /** @param features beside those of the protocol */
  negotiate(features: bigint = m.bit(m.VIRTIO_F_VERSION_1) | m.bit(m.VIRTIO_F_EVENT_IDX)): void {
    this.ok(m.SET_OWNER);
    this.ok(m.SET_PROTOCOL_FEATURES, u64(BigInt(m.PROTOCOL_F_REPLY_ACK)));
    this.ok(m.SET_FEATURES, u64(m.bit(m.VHOST_USER_F_PROTOCOL_FEATURES) | features));
    this.ok(m.SET_MEM_TABLE, memoryTable(1), [10]);
  }
}

export const u32 = (...words: number[]): Uint8Array =>
  new Uint8Array(Uint32Array.from(words).buffer);
export const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

export function memoryTable(count: number): Uint8Array {
  const table = makeSlab(8 + 32 * count);
  table.view.setUint32(0, count, true);
  for (let i = 0; i < count; i++) {
    [GUEST_BASE, MEMORY_LEN, USER_BASE, 0].forEach((value, word) => {
      table.view.setBigUint64(8 + 32 * i + 8 * word, BigInt(value), true);
    });
  }
  return table.bytes;
}
