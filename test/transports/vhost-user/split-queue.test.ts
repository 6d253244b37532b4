import assert from 'node:assert/strict';
import fc from 'fast-check';
import { makeSlab } from '../../../src/base/slab.ts';
import { GuestMemory, MAX_RANGE_LEN } from '../../../src/transports/vhost-user/guest-memory.ts';
import { SplitQueue } from '../../../src/transports/vhost-user/split-queue.ts';
import {
  F_INDIRECT,
  F_NEXT,
  F_WRITE,
  GUEST_BASE,
  GuestDriver,
  MEMORY_LEN,
  makeMemory,
  USER_BASE,
} from './guest-driver.ts';

const DATA = 0x8000;

describe('transports/vhost-user/split-queue', () => {
  it('takes chains in order and gives them back, around the rings many times', () => {
    const driver = new GuestDriver(8);
    const queue = driver.queue();
    for (let i = 0; i < 70_000; i++) {
      const head = driver.lend([{ off: DATA, len: 10 + (i % 5) }]);
      assert.ok(queue.take());
      assert.equal(queue.head, head);
      assert.equal(queue.chain.readableLen, 10 + (i % 5));
      assert.equal(queue.take(), false);
      queue.give(queue.head, i % 7);
      assert.deepEqual(driver.reap(), [{ head, len: i % 7 }]);
    }
    assert.equal(queue.broken, undefined);
    assert.equal(queue.nextAvail, 70_000 & 0xffff);
  });

  it('reads and writes buffers that are scattered', () => {
    const driver = new GuestDriver(8);
    const { bytes } = driver.slab;
    bytes.set([1, 2, 3], DATA);
    bytes.set([4, 5, 6, 7], DATA + 100);
    driver.lend([
      { off: DATA, len: 3 },
      { off: DATA + 100, len: 4 },
      { off: DATA + 200, len: 2, writable: true },
      { off: DATA + 300, len: 60, writable: true },
    ]);
    const queue = driver.queue();
    assert.ok(queue.take());
    assert.deepEqual([queue.chain.readableLen, queue.chain.writableLen], [7, 62]);
    const out = new Uint8Array(5);
    queue.chain.read(2, out, 1, 4);
    assert.deepEqual([...out], [0, 3, 4, 5, 6]);
    const sent = Uint8Array.from({ length: 61 }, (_, i) => i + 1);
    queue.chain.write(1, sent, 0, 61);
    assert.equal(bytes[DATA + 201], 1);
    assert.deepEqual(bytes.slice(DATA + 300, DATA + 360), sent.slice(1));
  });

  it('takes several chains as one, gives them back at once, or puts them back', () => {
    const driver = new GuestDriver(8);
    const heads = [0, 1, 2].map((i) =>
      driver.lend([{ off: DATA + 100 * i, len: 10, writable: true }]),
    );
    const queue = driver.queue();
    const taken: number[] = [];
    assert.ok(queue.take());
    do taken.push(queue.head);
    while (queue.takeMore());
    assert.deepEqual(taken, heads);
    assert.equal(queue.chain.writableLen, 30);
    const sent = Uint8Array.from({ length: 18 }, (_, i) => i + 1);
    queue.chain.write(0, sent, 0, 18);
    assert.deepEqual(driver.slab.bytes.slice(DATA + 100, DATA + 108), sent.slice(10));
    queue.put(taken[0] ?? -1, 10);
    queue.put(taken[1] ?? -1, 8);
    assert.deepEqual(driver.reap(), []);
    queue.publish();
    assert.deepEqual(driver.reap(), [
      { head: heads[0], len: 10 },
      { head: heads[1], len: 8 },
    ]);
    queue.untake();
    assert.ok(queue.take());
    assert.equal(queue.head, heads[2]);
    assert.equal(queue.chain.writableLen, 10);
  });

  it('follows an indirect table', () => {
    const driver = new GuestDriver(4);
    driver.descriptor(0, 0x4000, 32, F_INDIRECT, 0);
    driver.rawDescriptor(0x4000, BigInt(GUEST_BASE + DATA), 44, F_NEXT, 1);
    driver.rawDescriptor(0x4010, BigInt(GUEST_BASE + DATA + 64), 100, F_WRITE, 0);
    driver.offer(0);
    const queue = driver.queue();
    assert.ok(queue.take());
    assert.deepEqual([queue.chain.readableLen, queue.chain.writableLen], [44, 100]);
  });

  it('puts a chain back', () => {
    const driver = new GuestDriver(4, 0x100);
    driver.lend([{ off: DATA, len: 1 }]);
    const queue = driver.queue();
    assert.ok(queue.take());
    queue.untake();
    assert.ok(queue.take());
    assert.equal(queue.take(), false);
  });

  it('goes on where another queue over the same memory stopped', () => {
    const driver = new GuestDriver(4);
    const first = driver.queue();
    driver.lend([{ off: DATA, len: 1 }]);
    assert.ok(first.take());
    first.give(first.head, 0);
    driver.lend([{ off: DATA, len: 2 }]);
    const second = driver.queue(false, first.nextAvail);
    assert.ok(second.take());
    assert.equal(second.chain.readableLen, 2);
    second.give(second.head, 9);
    assert.deepEqual(
      driver.reap().map(({ len }) => len),
      [0, 9],
    );
  });

  describe('notification', () => {
    it('follows the flags: notifies of used chains once, unless suppressed', () => {
      const driver = new GuestDriver(4);
      const queue = driver.queue();
      driver.lend([{ off: DATA, len: 1 }]);
      assert.equal(queue.shouldNotify(), false);
      assert.ok(queue.take());
      queue.give(queue.head, 0);
      assert.equal(queue.shouldNotify(), true);
      assert.equal(queue.shouldNotify(), false);
      driver.slab.view.setUint16(driver.avail, 1, true);
      driver.lend([{ off: DATA, len: 1 }]);
      assert.ok(queue.take());
      queue.give(queue.head, 0);
      assert.equal(queue.shouldNotify(), false);
    });

    it('follows event indices', () => {
      const driver = new GuestDriver(4);
      const queue = driver.queue(true);
      const give = (): void => {
        driver.lend([{ off: DATA, len: 1 }]);
        assert.ok(queue.take());
        queue.give(queue.head, 0);
      };
      const event = driver.avail + 4 + 2 * 4;
      driver.slab.view.setUint16(event, 1, true); // notify when index 1 has been used
      give();
      assert.equal(queue.shouldNotify(), false);
      give();
      assert.equal(queue.shouldNotify(), true);
      give();
      assert.equal(queue.shouldNotify(), false);
    });

    it('asks for kicks, and sees what came before it asked', () => {
      for (const eventIdx of [false, true]) {
        const driver = new GuestDriver(4);
        const queue = driver.queue(eventIdx);
        queue.suppressKicks();
        const flags = driver.slab.view.getUint16(driver.used, true);
        assert.equal(flags, eventIdx ? 0 : 1);
        assert.equal(queue.wantKick(), false);
        assert.equal(driver.slab.view.getUint16(driver.used, true), 0);
        driver.lend([{ off: DATA, len: 1 }]);
        assert.equal(queue.wantKick(), true);
        assert.ok(queue.take());
        queue.give(queue.head, 0);
        assert.equal(queue.wantKick(), false);
        const event = driver.slab.view.getUint16(driver.used + 4 + 8 * 4, true);
        assert.equal(event, eventIdx ? 1 : 0);
      }
    });
  });

  describe('is broken, without throwing, by', () => {
    const cases: Record<string, (driver: GuestDriver) => void> = {
      'avail-index-jumped': (driver) => driver.setAvailIndex(5),
      'bad-head': (driver) => driver.offer(4),
      'bad-next': (driver) => {
        driver.descriptor(0, DATA, 1, F_NEXT, 4);
        driver.offer(0);
      },
      'descriptor-loop': (driver) => {
        driver.descriptor(0, DATA, 1, F_NEXT, 1);
        driver.descriptor(1, DATA, 1, F_NEXT, 0);
        driver.offer(0);
      },
      'bad-buffer-address': (driver) => {
        driver.descriptor(0, MEMORY_LEN - 10, 11, 0, 0);
        driver.offer(0);
      },
      'readable-after-writable': (driver) => {
        driver.descriptor(0, DATA, 1, F_NEXT | F_WRITE, 1);
        driver.descriptor(1, DATA, 1, 0, 0);
        driver.offer(0);
      },
      'bad-indirect-table': (driver) => {
        driver.descriptor(0, 0x4000, 16 * 5, F_INDIRECT, 0); // longer than the queue
        driver.offer(0);
      },
    };
    for (const [fault, act] of Object.entries(cases)) {
      it(fault, () => {
        const driver = new GuestDriver(4);
        const queue = driver.queue();
        act(driver);
        assert.equal(queue.take(), false);
        assert.equal(queue.broken, fault);
        assert.equal(queue.take(), false);
        assert.equal(queue.wantKick(), false);
        assert.equal(queue.shouldNotify(), false);
      });
    }

    it('chains of more descriptors than any driver uses, also by an indirect table', () => {
      const inRing = new GuestDriver(2048);
      for (let i = 0; i < 1100; i++) inRing.descriptor(i, DATA, 1, F_NEXT, i + 1);
      inRing.offer(0);
      const indirect = new GuestDriver(2048);
      indirect.descriptor(0, 0x4_0000, 16 * 1100, F_INDIRECT, 0);
      for (let i = 0; i < 1100; i++) {
        indirect.rawDescriptor(0x4_0000 + 16 * i, BigInt(GUEST_BASE + DATA), 1, F_NEXT, i + 1);
      }
      indirect.offer(0);
      for (const driver of [inRing, indirect]) {
        const queue = driver.queue();
        assert.equal(queue.take(), false);
        assert.equal(queue.broken, 'chain-too-long');
      }
    });

    it('addresses beyond 64 bits of any machine, and just below the memory', () => {
      for (const addr of [0xffff_ffff_ffff_ffffn, 1n << 53n, BigInt(GUEST_BASE - 1), 0n]) {
        const driver = new GuestDriver(4);
        driver.rawDescriptor(driver.desc, addr, 1, 0, 0);
        driver.offer(0);
        const queue = driver.queue();
        assert.equal(queue.take(), false);
        assert.equal(queue.broken, 'bad-buffer-address');
      }
    });

    it('indirect tables that are nested, chained, cut, empty or elsewhere', () => {
      const tables: readonly [number, number, number][] = [
        [0x4000, 32, F_INDIRECT | F_NEXT],
        [0x4000, 17, F_INDIRECT],
        [0x4000, 0, F_INDIRECT],
        [MEMORY_LEN, 16, F_INDIRECT],
        [0x4000, 16, F_INDIRECT], // its one descriptor is indirect again
      ];
      for (const [off, len, flags] of tables) {
        const driver = new GuestDriver(4);
        driver.descriptor(0, off, len, flags, 1);
        driver.rawDescriptor(0x4000, BigInt(GUEST_BASE + 0x4000), 16, F_INDIRECT, 0);
        driver.offer(0);
        const queue = driver.queue();
        assert.equal(queue.take(), false);
        assert.equal(queue.broken, 'bad-indirect-table');
      }
    });

    it('sizes and ring addresses of a frontend that errs', () => {
      const layout = { desc: USER_BASE, avail: USER_BASE + 256, used: USER_BASE + 512 };
      const make = (change: object): SplitQueue =>
        new SplitQueue(makeMemory(makeSlab(4096)), {
          ...layout,
          size: 4,
          base: 0,
          eventIdx: true,
          ...change,
        });
      assert.equal(make({}).broken, undefined);
      assert.equal(make({ size: 0 }).broken, 'bad-size');
      assert.equal(make({ size: 6 }).broken, 'bad-size');
      assert.equal(make({ size: 65_536 }).broken, 'bad-size');
      assert.equal(make({ desc: USER_BASE + 8 }).broken, 'bad-ring-address');
      assert.equal(make({ avail: USER_BASE + 257 }).broken, 'bad-ring-address');
      assert.equal(make({ used: USER_BASE + 4096 - 8 }).broken, 'bad-ring-address');
      assert.equal(make({ used: Number.POSITIVE_INFINITY }).broken, 'bad-ring-address');
      assert.equal(make({ desc: USER_BASE + 8 }).take(), false);
    });

    it('any bytes whatever: each chain is in bounds, or the queue is broken', () => {
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 256, maxLength: 256 }), fc.boolean(), (noise, e) => {
          const driver = new GuestDriver(4, 0, makeSlab(4096));
          driver.slab.bytes.set(noise.subarray(0, 160));
          // Some of it plausible: addresses in the memory, a short index.
          for (let i = 0; i < 4; i++) {
            const off = (noise[160 + i] ?? 0) << 4;
            driver.slab.view.setBigUint64(16 * i, BigInt(GUEST_BASE + off), true);
            driver.slab.view.setUint32(16 * i + 8, noise[170 + i] ?? 0, true);
          }
          driver.setAvailIndex((noise[180] ?? 0) % 6);
          const queue = driver.queue(e);
          const all = new Uint8Array(8192);
          for (let i = 0; i < 6 && queue.take(); i++) {
            assert.ok(queue.chain.readableLen <= all.length && queue.chain.writableLen < 4096);
            queue.chain.read(0, all, 0, queue.chain.readableLen);
            queue.give(queue.head, 0);
          }
          queue.shouldNotify();
          queue.wantKick();
        }),
        { numRuns: 500 },
      );
    });
  });

  it('touches nothing once retired', () => {
    const driver = new GuestDriver(4);
    driver.lend([{ off: DATA, len: 1 }]);
    driver.lend([{ off: DATA, len: 1 }]);
    const queue = driver.queue();
    assert.ok(queue.take());
    queue.retire();
    assert.equal(queue.take(), false);
    queue.give(queue.head, 0);
    assert.deepEqual(driver.reap(), []);
  });
});

describe('transports/vhost-user/guest-memory', () => {
  it('finds ranges in any window of a region larger than an array', () => {
    const memory = new GuestMemory();
    const made: number[] = [];
    const region = { guestAddr: 2 ** 32, userAddr: 2 ** 40, len: 5 * 2 ** 30, fileOffset: 0 };
    memory.add(region, (off, len) => {
      made.push(off / 2 ** 30);
      const bytes = new Uint8Array(len); // of the system, which gives pages when they are touched
      for (let at = 0; at < len; at += 2 ** 30) bytes[at] = (off + at) / 2 ** 30;
      return bytes;
    });
    assert.equal(memory.mapNext(), true);
    assert.equal(memory.mapNext(), false);
    assert.deepEqual(made, [0, 3]);
    const find = (off: number, len: number): readonly unknown[] => [
      memory.findGuest(2 ** 32 + off, len)?.bytes[0],
      memory.foundAt,
    ];
    assert.deepEqual(find(0, 1), [0, 0]);
    assert.deepEqual(find(2 ** 30 - 1, 4096), [0, 2 ** 30 - 1]);
    assert.deepEqual(find(3 * 2 ** 30 + 5, 10), [3, 5]);
    assert.equal(find(0, MAX_RANGE_LEN + 1)[0], undefined);
    assert.equal(find(5 * 2 ** 30 - 1, 2)[0], undefined);
    assert.equal(find(-1, 2)[0], undefined);
    assert.equal(find(Number.POSITIVE_INFINITY, 2)[0], undefined);
    assert.equal(memory.findUser(2 ** 40 + 7, 1)?.bytes[0], 0);
    assert.equal(memory.findUser(2 ** 32, 1), undefined);
  });

  it('takes no range that runs from one region into the next', () => {
    const memory = new GuestMemory();
    for (const at of [0, 4096]) {
      const region = { guestAddr: at, userAddr: at, len: 4096, fileOffset: 0 };
      memory.add(region, (_, len) => new Uint8Array(len));
    }
    assert.equal(memory.mapNext(), true);
    assert.equal(memory.mapNext(), false);
    assert.equal(memory.findGuest(4090, 7), undefined);
    assert.ok(memory.findGuest(4096, 1));
    assert.ok(memory.findGuest(4090, 6));
  });

  it('is short when less than a quarter of the chains waits', () => {
    const driver = new GuestDriver(8);
    const queue = driver.queue();
    assert.ok(queue.isShort);
    for (let i = 0; i < 2; i++) driver.lend([{ off: DATA, len: 10 }]);
    assert.equal(queue.isShort, false);
    assert.ok(queue.take());
    assert.ok(queue.isShort);
    queue.retire();
    assert.ok(queue.isShort);
  });
});
