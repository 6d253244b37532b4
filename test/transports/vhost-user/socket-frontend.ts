/** A vhost-user frontend on a real socket, with real descriptors; what it sends may be anything. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { slabOver } from '../../../src/base/slab.ts';
import { loadPosix } from '../../../src/native/load.ts';
import * as m from '../../../src/transports/vhost-user/message.ts';
import { GUEST_BASE, type GuestDriver, MEMORY_LEN, USER_BASE } from './guest-driver.ts';

const posix = loadPosix();

export const u32 = (...words: number[]): Uint8Array =>
  new Uint8Array(Uint32Array.from(words).buffer);
export const u64 = (...values: (number | bigint)[]): Uint8Array =>
  new Uint8Array(BigUint64Array.from(values, BigInt).buffer);

/** One region: all the memory of a {@link GuestDriver}. */
export const memoryTable = (len: number | bigint = MEMORY_LEN, fileOffset = 0): Uint8Array =>
  u64(1, GUEST_BASE, len, USER_BASE, fileOffset);

export function message(request: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const slab = slabOver(new Uint8Array(m.HEADER_LEN + payload.length));
  m.emitHeader(slab.view, request, payload.length, false);
  slab.bytes.set(payload, m.HEADER_LEN);
  return slab.bytes;
}

export class SocketFrontend {
  readonly socket: Socket;
  readonly fd: number;

  private constructor(socket: Socket) {
    this.socket = socket;
    const handle: unknown = Reflect.get(socket, '_handle');
    assert.ok(typeof handle === 'object' && handle !== null && 'fd' in handle);
    this.fd = Number(handle.fd);
  }

  static async connect(path: string): Promise<SocketFrontend> {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.on('error', () => {}); // reset by the server; 'close' follows
    return new SocketFrontend(socket);
  }

  send(request: number, payload?: Uint8Array, fds: readonly number[] = []): number {
    const bytes = message(request, payload);
    const sent = posix.sendWithFds(this.fd, bytes, fds);
    assert.equal(sent, bytes.length);
    return sent;
  }

  /** As QEMU does it. */
  startQueue(index: number, { size, desc, used, avail }: GuestDriver): void {
    this.send(m.SET_VRING_NUM, u32(index, size));
    this.send(m.SET_VRING_BASE, u32(index, 0));
    const rings = [desc, used, avail].map((off) => USER_BASE + off);
    this.send(m.SET_VRING_ADDR, u64(index, ...rings, 0));
  }

  kickBy(index: number, fd: number): void {
    this.send(m.SET_VRING_KICK, u32(index, 0), [fd]);
  }

  callBy(index: number, fd: number): void {
    this.send(m.SET_VRING_CALL, u32(index, 0), [fd]);
  }

  async reply(): Promise<Buffer> {
    const [chunk] = await once(this.socket, 'data');
    return chunk;
  }
}
