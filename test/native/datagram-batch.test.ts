import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { allocate, release } from '../../src/base/arena.ts';
import { datagramHandle } from '../../src/native/dgram-handle.ts';
import { loadPosix } from '../../src/native/load.ts';
import type { DatagramBatch } from '../../src/native/posix.ts';
import { sockaddrOf } from '../../src/native/sockaddr.ts';
import { ip, until } from '../proxy/recording.ts';
import { itNeeding } from '../support/requirements.ts';

const EBADF = -9;
const EMSGSIZE = -90;

describe('native/datagram-batch', () => {
  let batch: DatagramBatch;
  let sockets: Socket[];

  beforeEach(() => {
    batch = loadPosix().makeDatagramBatch();
    sockets = [];
  });
  afterEach(() => {
    for (const socket of sockets) socket.close();
  });

  const open = async (family: 4 | 6 = 4): Promise<{ socket: Socket; fd: number; port: number }> => {
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    sockets.push(socket);
    socket.bind(0, family === 4 ? '127.0.0.1' : '::1');
    await once(socket, 'listening');
    const { fd } = datagramHandle(socket);
    assert.ok(fd >= 0);
    return { socket, fd, port: socket.address().port };
  };

  /** Datagrams received, each by its first byte's value and its length. */
  const received = (socket: Socket): string[] => {
    const got: string[] = [];
    socket.on('message', (bytes) => {
      const values = new Set(bytes); // more than one: mixed up
      got.push(`${values.size === 0 ? '-' : [...values].join('+')}x${bytes.length}`);
    });
    return got;
  };

  const fill = (lens: readonly number[], name: Uint8Array): void => {
    for (const [i, len] of lens.entries()) {
      assert.ok(batch.add(new Uint8Array(Math.max(len, 128)).fill(i), len, name));
    }
  };

  for (const [what, lens, segmented] of [
    ['equal ones', [500, 500, 500], true],
    ['a shorter one last', [500, 500, 20, 500, 20], true],
    ['longer and longer ones', [1, 2, 3], false],
    ['empty ones', [0, 0, 100, 100, 0, 0], false],
    ['more bytes than one message holds', [30_000, 30_000, 30_000, 30_000], true],
    ['the largest', [65_507, 65_507], false],
  ] as const) {
    it(`what goes as segments arrives as it was: ${what}`, async () => {
      const [from, to] = [await open(), await open()];
      to.socket.setRecvBufferSize(1 << 20);
      const got = received(to.socket);
      batch.clear(true);
      fill(lens, sockaddrOf(ip('127.0.0.1'), to.port, 4));
      assert.equal(batch.segmented, segmented);
      assert.equal(batch.send(from.fd), lens.length);
      await until(() => got.length === lens.length);
      assert.deepEqual(
        got,
        lens.map((len, i) => `${len === 0 ? '-' : i}x${len}`),
      );
    });
  }

  it('keeps what is gathered, whoever else has let go of it', async () => {
    const [from, to] = [await open(), await open()];
    const got = received(to.socket);
    batch.clear(true);
    fill([8000, 8000, 8000, 8000], sockaddrOf(ip('127.0.0.1'), to.port, 4));
    setFlagsFromString('--expose-gc');
    const collect: unknown = runInNewContext('gc');
    assert.ok(typeof collect === 'function');
    const taking: Uint8Array[] = [];
    for (let i = 0; i < 20; i++) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
      for (let j = 0; j < 20; j++) taking.push(new Uint8Array(8000).fill(0xee));
    }
    assert.equal(batch.send(from.fd), 4);
    await until(() => got.length === 4);
    assert.deepEqual(got, ['0x8000', '1x8000', '2x8000', '3x8000']);
    assert.equal(taking.length, 400);
  });

  it('holds as many as it says, to several peers, out of the arena and not', async () => {
    const [from, a, b] = [await open(), await open(), await open()];
    const [gotA, gotB] = [received(a.socket), received(b.socket)];
    const [toA, toB] = [a, b].map(({ port }) => sockaddrOf(ip('127.0.0.1'), port, 4));
    assert.ok(toA !== undefined && toB !== undefined);
    const piece = allocate(4096).fill(7, 0, 100);
    batch.clear(true);
    for (let i = 0; i < batch.capacity; i++) {
      assert.ok(batch.add(piece, 100, i % 8 === 7 ? toB : toA));
    }
    assert.equal(batch.add(piece, 100, toA), false);
    assert.equal(batch.length, batch.capacity);
    assert.equal(batch.send(from.fd), batch.capacity);
    await until(() => gotA.length + gotB.length === batch.capacity);
    assert.equal(gotB.length, batch.capacity / 8);
    release(piece);

    batch.clear(true);
    assert.ok(batch.add(new Uint8Array(128).fill(8), 3, toB));
    assert.equal(batch.send(from.fd), 1);
    await until(() => gotB.at(-1) === '8x3');
  });

  itNeeding('reaches IPv6, and IPv4 from a socket of both', ['ipv6'], async () => {
    const six = await open(6);
    const four = await open(4);
    const both = createSocket('udp6');
    sockets.push(both);
    both.bind(0, '::');
    await once(both, 'listening');
    const got = [received(six.socket), received(four.socket)];
    batch.clear(true);
    fill([10], sockaddrOf(ip('::1'), six.port, 6));
    fill([20], sockaddrOf(ip('127.0.0.1'), four.port, 6));
    assert.equal(batch.send(datagramHandle(both).fd), 2);
    await until(() => got.every((list) => list.length === 1));
    assert.deepEqual(got, [['0x10'], ['0x20']]);
  });

  it('says how many went before one that the kernel refuses, and why when it is the first', async () => {
    const [from, to] = [await open(), await open()];
    const got = received(to.socket);
    const name = sockaddrOf(ip('127.0.0.1'), to.port, 4);
    batch.clear(true);
    fill([100, 100, 65_508, 100], name);
    assert.equal(batch.send(from.fd), 2);
    batch.clear(true);
    fill([65_508, 100], name);
    assert.equal(batch.segmented, false);
    assert.equal(batch.send(from.fd), EMSGSIZE);
    batch.clear(false);
    fill([100, 100], name);
    assert.equal(batch.segmented, false);
    assert.equal(batch.send(-1), EBADF);
    await until(() => got.length === 2);
  });
});
