/** The server with a frontend of our own: a real socket, descriptors, shared memory. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../../src/base/log.ts';
import { slabOver } from '../../../src/base/slab.ts';
import { loadPosix } from '../../../src/native/load.ts';
import * as m from '../../../src/transports/vhost-user/message.ts';
import { VhostVsock } from '../../../src/transports/vsock/open-vhost-vsock.ts';
import * as p from '../../../src/transports/vsock/packet.ts';
import { until } from '../../system/support/until.ts';
import { GUEST_BASE, GuestDriver, MEMORY_LEN, USER_BASE } from './guest-driver.ts';

const posix = loadPosix();
const CID = 42;

const u32 = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);
const u64 = (...values: (number | bigint)[]): Uint8Array =>
  new Uint8Array(BigUint64Array.from(values, BigInt).buffer);

const openFds = (): number => readdirSync('/proc/self/fd').length;

class Frontend {
  readonly socket: Socket;
  private readonly fd: number;

  private constructor(socket: Socket) {
    this.socket = socket;
    const handle: unknown = Reflect.get(socket, '_handle');
    assert.ok(typeof handle === 'object' && handle !== null && 'fd' in handle);
    this.fd = Number(handle.fd);
  }

  static async connect(path: string): Promise<Frontend> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Frontend(socket);
  }

  send(
    request: number,
    payload: Uint8Array = new Uint8Array(0),
    fds: readonly number[] = [],
  ): void {
    const bytes = this.message(request, payload);
    assert.equal(posix.sendWithFds(this.fd, bytes, fds), bytes.length);
  }

  message(request: number, payload: Uint8Array): Uint8Array {
    const slab = slabOver(new Uint8Array(m.HEADER_LEN + payload.length));
    m.emitHeader(slab.view, request, payload.length, false);
    slab.bytes.set(payload, m.HEADER_LEN);
    return slab.bytes;
  }

  async reply(): Promise<Buffer> {
    const [chunk] = await once(this.socket, 'data');
    return chunk;
  }
}

describe('transports/vhost-user/server', () => {
  let dir = '';
  let path = '';
  let link: VhostVsock;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-vhost-'));
    path = join(dir, 'v.sock');
    link = await VhostVsock.open({
      path,
      guestCid: CID,
      posix,
      clock: performance,
      log: SILENT,
    });
  });

  afterEach(async () => {
    await link.close();
    rmSync(dir, { recursive: true });
  });

  it('serves a guest through memory and counters that are passed to it', async () => {
    const before = openFds();
    const file = openSync(join(dir, 'memory'), 'w+');
    ftruncateSync(file, MEMORY_LEN);
    const mapping = posix.mapShared(file, 0, MEMORY_LEN);
    const slab = slabOver(mapping.view(0, MEMORY_LEN));
    const frontend = await Frontend.connect(path);
    frontend.send(m.SET_FEATURES, u64(m.bit(32)));
    frontend.send(m.SET_MEM_TABLE, u64(1, GUEST_BASE, MEMORY_LEN, USER_BASE, 0), [file]);
    const pairs = [0, 1].map(() => posix.socketPair('dgram'));
    const calls = [0, 1].map(() => posix.socketPair('dgram'));
    const drivers = [0, 1].map((i) => new GuestDriver(8, 4096 * i, slab));
    drivers.forEach(({ desc, used, avail }, i) => {
      frontend.send(m.SET_VRING_NUM, u32(i, 8));
      frontend.send(m.SET_VRING_BASE, u32(i, 0));
      const rings = u64(i, ...[desc, used, avail].map((off) => USER_BASE + off), 0);
      frontend.send(m.SET_VRING_ADDR, rings);
      frontend.send(m.SET_VRING_KICK, u32(i, 0), [pairs[i]?.[1] ?? -1]);
      frontend.send(m.SET_VRING_CALL, u32(i, 0), [calls[i]?.[1] ?? -1]);
    });
    await until('the guest to be up', () => link.isUp);

    // The guest connects to where nobody is, and is refused.
    const [rx, tx] = drivers;
    assert.ok(rx !== undefined && tx !== undefined);
    rx.lend([{ off: 0x9000, len: 4096, writable: true }]);
    const packet = slabOver(new Uint8Array(p.VSOCK_HEADER_LEN));
    p.emitAddresses(packet.view, CID, 7, p.HOST_CID, 80);
    p.emitPacket(packet.view, p.OP_REQUEST, 0, 0, 4096, 0);
    slab.bytes.set(packet.bytes, 0x8000);
    tx.lend([{ off: 0x8000, len: p.VSOCK_HEADER_LEN }]);
    posix.write(pairs[1]?.[0] ?? -1, u64(1), 0, 8);
    const given = await until('the answer', () => rx.reap().at(0));
    assert.equal(given.len, p.VSOCK_HEADER_LEN);
    const answer = new DataView(slab.bytes.buffer, 0x9000, p.VSOCK_HEADER_LEN);
    assert.equal(p.packetOp(answer), p.OP_RST);
    assert.deepEqual([p.dstPort(answer), p.srcPort(answer)], [7, 80]);
    assert.equal(tx.reap().length, 1);
    const counter = new Uint8Array(8);
    assert.equal(posix.read(calls[0]?.[0] ?? -1, counter, 0, 8), 8, 'the guest was called');

    frontend.socket.destroy();
    await until('the guest to be gone', () => !link.isUp);
    assert.equal(link.stats.protocolFaults, 0);
    for (const [a, b] of [...pairs, ...calls]) {
      posix.close(a);
      posix.close(b);
    }
    mapping.unmap();
    closeSync(file);
    await until('every descriptor to be given back', () => openFds() === before);
  });

  it('understands messages in any pieces, and several at once', async () => {
    const frontend = await Frontend.connect(path);
    const features = frontend.message(m.GET_FEATURES, new Uint8Array(0));
    for (const byte of features) frontend.socket.write(Uint8Array.of(byte));
    const reply = await frontend.reply();
    assert.equal(reply.length, m.HEADER_LEN + 8);
    frontend.socket.write(
      Buffer.concat([frontend.message(m.SET_OWNER, new Uint8Array(0)), features]),
    );
    assert.deepEqual(await frontend.reply(), reply);
    const config = frontend.message(m.GET_CONFIG, u32(0, 8, 0, 0, 0));
    frontend.socket.write(config);
    assert.equal((await frontend.reply()).readUInt32LE(m.HEADER_LEN + 12), CID);
    frontend.socket.destroy();
  });

  it('ends a connection that sends nonsense, and takes the next', async () => {
    const memory = openSync(join(dir, 'short'), 'w+'); // empty: touching it would kill us
    const nonsense: ((frontend: Frontend) => void)[] = [
      (frontend) => frontend.socket.write(new Uint8Array(m.HEADER_LEN)),
      (frontend) => frontend.send(99),
      (frontend) => frontend.socket.end(new Uint8Array(5)),
      (frontend) => {
        const table = u64(1, GUEST_BASE, MEMORY_LEN, USER_BASE, 0);
        frontend.send(m.SET_MEM_TABLE, table, [memory]);
      },
    ];
    const before = openFds();
    for (const [i, send] of nonsense.entries()) {
      const frontend = await Frontend.connect(path);
      send(frontend);
      await once(frontend.socket, 'close');
      assert.equal(link.stats.protocolFaults, i + 1);
    }
    assert.equal(openFds(), before);
    closeSync(memory);
  });

  it('serves one frontend at a time', async () => {
    const first = await Frontend.connect(path);
    const second = await Frontend.connect(path);
    await once(second.socket.resume(), 'close');
    assert.equal(link.stats.connectionsRefused, 1);
    first.socket.destroy();
    await once(first.socket, 'close');
    const third = await Frontend.connect(path);
    third.send(m.GET_FEATURES);
    assert.equal((await third.reply()).length, m.HEADER_LEN + 8);
    third.socket.destroy();
  });
});
