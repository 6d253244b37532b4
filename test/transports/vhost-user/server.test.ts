/** The server with a frontend of our own: a real socket, descriptors, shared memory. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../../src/base/log.ts';
import { slabOver } from '../../../src/base/slab.ts';
import { loadPosix } from '../../../src/native/load.ts';
import * as m from '../../../src/transports/vhost-user/message.ts';
import { VhostVsock } from '../../../src/transports/vsock/open-vhost-vsock.ts';
import * as p from '../../../src/transports/vsock/packet.ts';
import { eventCounter, MFD_ALLOW_SEALING, memoryFile } from '../../support/native-files.ts';
import { until } from '../../system/support/until.ts';
import { GuestDriver, MEMORY_LEN } from './guest-driver.ts';
import { memoryTable, message, SocketFrontend, u32, u64 } from './socket-frontend.ts';

const posix = loadPosix();
const CID = 42;

const openFds = (): number => readdirSync('/proc/self/fd').length;

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
    assert.ok(posix.eventCounters, 'what all counters share is open');
    const before = openFds();
    const file = memoryFile(MEMORY_LEN, MFD_ALLOW_SEALING);
    const mapping = posix.mapShared(file, 0, MEMORY_LEN);
    const slab = slabOver(mapping.view(0, MEMORY_LEN));
    const frontend = await SocketFrontend.connect(path);
    frontend.send(m.SET_FEATURES, u64(m.bit(32)));
    frontend.send(m.SET_MEM_TABLE, memoryTable(), [file]);
    const kicks = [eventCounter(), eventCounter()];
    const calls = [eventCounter(), eventCounter()];
    const drivers = [0, 1].map((i) => new GuestDriver(8, 4096 * i, slab));
    drivers.forEach((driver, i) => {
      frontend.startQueue(i, driver);
      frontend.kickBy(i, kicks[i] ?? -1);
      frontend.callBy(i, calls[i] ?? -1);
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
    posix.write(kicks[1] ?? -1, u64(1), 0, 8);
    const given = await until('the answer', () => rx.reap().at(0));
    assert.equal(given.len, p.VSOCK_HEADER_LEN);
    const answer = new DataView(slab.bytes.buffer, 0x9000, p.VSOCK_HEADER_LEN);
    assert.equal(p.packetOp(answer), p.OP_RST);
    assert.deepEqual([p.dstPort(answer), p.srcPort(answer)], [7, 80]);
    assert.equal(tx.reap().length, 1);
    const counter = new Uint8Array(8);
    assert.equal(posix.read(calls[0] ?? -1, counter, 0, 8), 8, 'the guest was called');

    frontend.socket.destroy();
    await until('the guest to be gone', () => !link.isUp);
    assert.equal(link.stats.protocolFaults, 0);
    for (const fd of [...kicks, ...calls]) posix.close(fd);
    mapping.unmap();
    closeSync(file);
    await until('every descriptor to be given back', () => openFds() === before);
  });

  it('understands messages in any pieces, and several at once', async () => {
    const frontend = await SocketFrontend.connect(path);
    const features = message(m.GET_FEATURES);
    for (const byte of features) frontend.socket.write(Uint8Array.of(byte));
    const reply = await frontend.reply();
    assert.equal(reply.length, m.HEADER_LEN + 8);
    frontend.socket.write(Buffer.concat([message(m.SET_OWNER), features]));
    assert.deepEqual(await frontend.reply(), reply);
    const config = message(m.GET_CONFIG, u32(0, 8, 0, 0, 0));
    frontend.socket.write(config);
    assert.equal((await frontend.reply()).readUInt32LE(m.HEADER_LEN + 12), CID);
    frontend.socket.destroy();
  });

  it('ends a connection that sends nonsense, and takes the next', async () => {
    const memory = openSync(join(dir, 'short'), 'w+'); // empty: touching it would kill us
    const nonsense: ((frontend: SocketFrontend) => void)[] = [
      (frontend) => frontend.socket.write(new Uint8Array(m.HEADER_LEN)),
      (frontend) => frontend.send(99),
      (frontend) => frontend.socket.end(new Uint8Array(5)),
      (frontend) => {
        frontend.send(m.SET_MEM_TABLE, memoryTable(), [memory]);
      },
    ];
    const before = openFds();
    for (const [i, send] of nonsense.entries()) {
      const frontend = await SocketFrontend.connect(path);
      send(frontend);
      await once(frontend.socket, 'close');
      assert.equal(link.stats.protocolFaults, i + 1);
    }
    assert.equal(openFds(), before);
    closeSync(memory);
  });

  it('takes memory that may shrink where the machine is trusted', async () => {
    await link.close();
    link = await VhostVsock.open({ path, memory: 'any', posix, clock: performance, log: SILENT });
    const file = openSync(join(dir, 'memory'), 'w+');
    ftruncateSync(file, MEMORY_LEN);
    const frontend = await SocketFrontend.connect(path);
    frontend.send(m.SET_PROTOCOL_FEATURES, u64(m.PROTOCOL_F_REPLY_ACK));
    frontend.socket.write(message(m.GET_FEATURES));
    await frontend.reply();
    frontend.send(m.SET_MEM_TABLE, memoryTable(), [file]);
    frontend.send(m.GET_QUEUE_NUM);
    await frontend.reply();
    assert.equal(link.stats.protocolFaults, 0);
    frontend.socket.destroy();
    closeSync(file);
  });

  it('serves one frontend at a time', async () => {
    const first = await SocketFrontend.connect(path);
    const second = await SocketFrontend.connect(path);
    await once(second.socket.resume(), 'close');
    assert.equal(link.stats.connectionsRefused, 1);
    first.socket.destroy();
    await once(first.socket, 'close');
    const third = await SocketFrontend.connect(path);
    third.send(m.GET_FEATURES);
    assert.equal((await third.reply()).length, m.HEADER_LEN + 8);
    third.socket.destroy();
  });
});
