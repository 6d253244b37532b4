/** A guest with a network card by vhost-user, and its frontend: memory, rings, kicks and calls are real. */
import assert from 'node:assert/strict';
import { slabOver } from '../../../src/base/slab.ts';
import { loadPosix } from '../../../src/native/load.ts';
import type { SharedMapping } from '../../../src/native/posix.ts';
import * as m from '../../../src/transports/vhost-user/message.ts';
import { eventCounter, MFD_ALLOW_SEALING, memoryFile } from '../../support/native-files.ts';
import { until } from '../../system/support/until.ts';
import { GuestDriver, MEMORY_LEN } from './guest-driver.ts';
import { memoryTable, SocketFrontend, u64 } from './socket-frontend.ts';

const posix = loadPosix();
const SIZE = 64;
const HEADER_LEN = 12;
const TX_AT = 0x8000;
const RX_AT = 0x1_0000;
const FRAME_LEN = 60;

export class RingGuest {
  readonly frontend: SocketFrontend;
  /** Kick and call of the receive queue, then of the transmit queue. */
  readonly counters: readonly number[] = Array.from({ length: 4 }, eventCounter);
  readonly memory: number = memoryFile(MEMORY_LEN, MFD_ALLOW_SEALING);
  private readonly mapping: SharedMapping = posix.mapShared(this.memory, 0, MEMORY_LEN);
  private readonly slab = slabOver(this.mapping.view(0, MEMORY_LEN));
  readonly rx: GuestDriver = new GuestDriver(SIZE, 0, this.slab);
  readonly tx: GuestDriver = new GuestDriver(SIZE, 0x4000, this.slab);
  private serial = 0;

  private constructor(frontend: SocketFrontend) {
    this.frontend = frontend;
  }

  static async start(path: string): Promise<RingGuest> {
    const self = new RingGuest(await SocketFrontend.connect(path));
    const { frontend, counters } = self;
    frontend.send(m.SET_FEATURES, u64(m.bit(m.VIRTIO_F_VERSION_1)));
    frontend.send(m.SET_MEM_TABLE, memoryTable(), [self.memory]);
    for (const [i, driver] of [self.rx, self.tx].entries()) {
      frontend.startQueue(i, driver);
      frontend.kickBy(i, counters[2 * i] ?? -1);
      frontend.callBy(i, counters[2 * i + 1] ?? -1);
    }
    return self;
  }

  /** Put a frame into the transmit queue, and a buffer for its echo into the other. */
  post(): Uint8Array {
    const { bytes } = this.slab;
    const frame = Uint8Array.from({ length: FRAME_LEN }, (_, i) => (i < 12 ? i : ++this.serial));
    bytes.fill(0, TX_AT, TX_AT + HEADER_LEN);
    bytes.set(frame, TX_AT + HEADER_LEN);
    this.rx.lend([{ off: RX_AT, len: 2048, writable: true }]);
    this.tx.lend([{ off: TX_AT, len: HEADER_LEN + FRAME_LEN }]);
    return frame;
  }

  kick(): void {
    assert.equal(posix.write(this.counters[2] ?? -1, u64(1), 0, 8), 8);
  }

  /** A frame to the host and back. @returns ms */
  async echo(): Promise<number> {
    const start = performance.now();
    const frame = this.post();
    this.kick();
    const given = await until('the echo', () => this.rx.reap().at(0), 5_000);
    assert.equal(given.len, HEADER_LEN + FRAME_LEN);
    const at = RX_AT + HEADER_LEN;
    assert.deepEqual(this.slab.bytes.slice(at, at + FRAME_LEN), frame);
    this.tx.reap();
    return performance.now() - start;
  }

  close(): void {
    this.frontend.socket.destroy();
    for (const fd of [...this.counters, this.memory]) posix.close(fd);
    // It stays mapped: an echo that was waited for in vain may look again.
  }
}
