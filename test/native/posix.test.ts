import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, readlinkSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { datagramHandle } from '../../src/native/dgram-handle.ts';
import { THIS_HOST } from '../../src/native/libc.ts';
import { loadPosix } from '../../src/native/load.ts';
import { eventCounter, MFD_ALLOW_SEALING, memoryFile } from '../support/native-files.ts';
import { itNeeding, needsOf } from '../support/requirements.ts';

const posix = loadPosix();

describe('native/load', () => {
  const fails = (platform: string, arch: string, requireKoffi = THIS_HOST.requireKoffi): void => {
    loadPosix('open TAP tap0', 'use a qemu: link instead', {
      ...THIS_HOST,
      platform,
      arch,
      requireKoffi,
    });
  };

  it('names what was wanted and the missing package', () => {
    const missing = (): never => {
      throw new Error("Cannot find module 'koffi'");
    };
    assert.throws(() => fails('linux', 'x64', missing), {
      code: 'ERR_HAWSER_NATIVE_UNAVAILABLE',
      message:
        /^cannot open TAP tap0: .*koffi is not installed; install it with `npm install koffi`, or use a qemu: link instead$/,
    });
  });

  for (const [platform, arch] of [
    ['darwin', 'arm64'],
    ['win32', 'x64'],
    ['linux', 'riscv64'],
  ] as const) {
    it(`refuses ${platform} on ${arch}`, () => {
      assert.throws(() => fails(platform, arch), {
        code: 'ERR_HAWSER_NATIVE_UNAVAILABLE',
        message: new RegExp(
          `cannot open TAP tap0: .*Linux.*${platform} on ${arch}; use a qemu: link instead$`,
        ),
      });
    });
  }
});

describe('native/posix', () => {
  it('makes room for descriptors in another thread, and leaves none of them open', async () => {
    // In a process of its own: the room of this one may be what its limit allows already.
    const load = new URL('../../src/native/load.js', import.meta.url);
    const script = `
      import { readFileSync, readdirSync } from 'node:fs';
      import { setImmediate } from 'node:timers/promises';
      import { loadPosix } from '${load}';
      const posix = loadPosix('make room');
      const room = () => Number(/^FDSize:\\s+(\\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))[1]);
      const open = readdirSync('/proc/self/fd').length;
      const wanted = 2 * room();
      posix.reserveDescriptors(wanted);
      while (room() < wanted) await setImmediate();
      while (readdirSync('/proc/self/fd').length > open) await setImmediate();`;
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  });

  it('reads and writes at an offset, and returns the errno when it cannot', () => {
    const [a, b] = posix.socketPair('seqpacket');
    const bytes = Buffer.from('....hello');
    assert.equal(posix.write(a, bytes, 4, 5), 5);
    const into = Buffer.alloc(100, 0x2e);
    assert.equal(posix.read(b, into, 2, 98), 5);
    assert.equal(into.toString('latin1', 0, 8), '..hello.');
    assert.equal(posix.read(b, into, 0, 100), -11);
    posix.close(a);
    assert.equal(posix.read(b, into, 0, 100), 0);
    posix.close(b);
    assert.equal(posix.write(-1, bytes, 0, 1), -9);
  });

  it('passes a descriptor to another process', () => {
    const [a, b] = posix.socketPair('stream');
    const null_ = openSync('/dev/null', 'w');
    assert.equal(posix.recvFd(b), undefined);
    posix.sendFd(a, null_);
    closeSync(null_);
    const got = posix.recvFd(b);
    assert.ok(got !== undefined);
    assert.equal(writeSync(got, 'x'), 1);
    closeSync(got);
    posix.close(a);
    assert.equal(posix.recvFd(b), undefined);
    posix.close(b);
  });

  it('resets and signals a counter without waiting, whatever its flags say', () => {
    const { eventCounters } = posix;
    const counter = eventCounter();
    assert.equal(eventCounters.take(counter), -11);
    for (let i = 0; i < 1000; i++) assert.equal(eventCounters.signal(counter), 0);
    const value = new BigUint64Array(1);
    assert.equal(posix.read(counter, new Uint8Array(value.buffer), 0, 8), 8);
    assert.equal(value[0], 1000n);
    value[0] = 0xffff_ffff_ffff_fffen; // full: a write would wait
    assert.equal(posix.write(counter, new Uint8Array(value.buffer), 0, 8), 8);
    assert.equal(eventCounters.signal(counter), 0);
    assert.equal(eventCounters.take(counter), 8);
    assert.equal(eventCounters.take(counter), -11);
    assert.notEqual(eventCounters.signal(0), 0);
    posix.close(counter);
  });

  it('seals the size of memory files that allow it', () => {
    const open = memoryFile(4096, MFD_ALLOW_SEALING);
    const closed = memoryFile(4096, 0);
    const disk = openSync('/dev/null', 'r');
    assert.deepEqual(
      [open, closed, disk].map((fd) => [posix.isMemoryFile(fd), posix.sealSize(fd)]),
      [
        [true, true],
        [true, false],
        [false, false],
      ],
    );
    assert.throws(() => ftruncateSync(open, 0), { code: 'EPERM' });
    for (const fd of [open, closed, disk]) closeSync(fd);
  });

  itNeeding(
    'enters no network from which it could not come back',
    ['userns', 'nsenter'],
    async () => {
      const other = spawn('unshare', ['-Urn', 'sleep', 'infinity']);
      try {
        const child = fileURLToPath(new URL('./netns-child.js', import.meta.url));
        const user = `/proc/${other.pid}/ns/user`;
        const own = readlinkSync('/proc/self/ns/user');
        while (readlinkSync(user) === own) await delay(5);
        const enter = [`--user=${user}`, '--preserve-credentials', process.execPath, child];
        const { stdout } = await promisify(execFile)('nsenter', [
          ...enter,
          `/proc/${other.pid}/ns/net`,
        ]);
        assert.equal(stdout, 'EPERM');
      } finally {
        other.kill('SIGKILL');
      }
    },
  );

  it('says what failed, with the name of the errno', () => {
    assert.throws(() => posix.setSocketOption(-1, 0, 2, 64), { code: 'EBADF' });
    assert.throws(() => posix.inNetns('no-such-netns', () => 1), {
      code: 'ENOENT',
      message: /network namespace \/run\/netns\/no-such-netns/,
    });
    assert.throws(() => posix.openPacketSocket('no-such-if'), { code: 'ENODEV' });
    assert.throws(() => posix.openTap({ name: 'much-too-long-a-name', vnetHdr: true, mtu: 1500 }), {
      name: 'RangeError',
    });
  });

  for (const [family, loopback] of [
    [4, '127.0.0.1'],
    [6, '::1'],
  ] as const) {
    itNeeding(
      `reads from the error queue which IPv${family} datagram was refused, and by whom`,
      needsOf(loopback),
      async () => {
        const closed = createSocket(`udp${family}`).bind(0, loopback);
        await once(closed, 'listening');
        const port = closed.address().port;
        closed.close();
        await once(closed, 'close');

        const socket = createSocket(`udp${family}`).bind(0, loopback);
        await once(socket, 'listening');
        const { fd } = datagramHandle(socket);
        assert.ok(fd >= 0);
        posix.enableErrorQueue(fd, family);
        assert.equal(posix.readErrorQueue(fd), undefined);
        const failed = once(socket, 'error');
        socket.send('lost words', port, loopback);
        await failed;
        const error = posix.readErrorQueue(fd);
        assert.ok(error);
        assert.equal(error.code, 'ECONNREFUSED');
        assert.equal(error.origin, family === 4 ? 'icmp' : 'icmp6');
        assert.deepEqual([error.icmpType, error.icmpCode], family === 4 ? [3, 3] : [1, 4]);
        assert.equal(error.offender?.toString(), loopback);
        assert.equal(error.destination?.toString(), loopback);
        assert.equal(error.destinationPort, port);
        assert.equal(Buffer.from(error.payload).toString(), 'lost words');
        assert.equal(posix.readErrorQueue(fd), undefined);
        socket.close();
      },
    );
  }
});
