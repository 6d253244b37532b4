/** A frontend that passes whatever a process can open: it ends its own link, and nothing else, while another guest goes on. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { loadPosix } from '../../../src/native/load.ts';
import * as m from '../../../src/transports/vhost-user/message.ts';
import {
  epoll,
  eventCounter,
  F_SEAL_SHRINK,
  linger,
  MFD_ALLOW_SEALING,
  MFD_HUGETLB,
  makeBlocking,
  memoryFile,
} from '../../support/native-files.ts';
import { until } from '../../system/support/until.ts';
import { GUEST_BASE, MEMORY_LEN, USER_BASE } from './guest-driver.ts';
import { RingGuest } from './ring-guest.ts';
import { memoryTable, message, SocketFrontend, u32, u64 } from './socket-frontend.ts';

const posix = loadPosix();
const O_PATH = 0o1000_0000;
/** A lingering socket would block for so long whoever closes it. */
const LINGER_S = 60;
const PROMPT_MS = 1_000;

/** Full: a write to it waits. */
function fullPipe(dir: string): number {
  const path = join(dir, `fifo-${Math.random()}`);
  assert.equal(spawnSync('mkfifo', [path]).status, 0);
  const fd = openSync(path, constants.O_RDWR);
  const nonBlocking = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(nonBlocking, new Uint8Array(4096));
  } catch {
    closeSync(nonBlocking);
  }
  return fd;
}

/** They read nothing, so that what was sent to them stays unsent. */
const peers: Socket[] = [];

/** A connection with unsent data that lingers, passed in a message; ours is closed afterwards. */
async function withLinger(pass: (fd: number) => number): Promise<void> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const client = connect(address.port, address.address);
  const [[peer]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
  client.write(new Uint8Array(16 << 20));
  const handle: unknown = Reflect.get(client, '_handle');
  assert.ok(typeof handle === 'object' && handle !== null && 'fd' in handle);
  linger(Number(handle.fd), LINGER_S);
  if (pass(Number(handle.fd)) < 0) linger(Number(handle.fd), 0); // nobody else has it
  client.destroy();
  server.close();
  peers.push(peer);
}

describe('transports/vhost-user with a hostile frontend', function () {
  this.timeout(60_000);
  let dir = '';
  let victim = '';
  let child: ChildProcess;
  let good: RingGuest;
  let idleFds = 0;
  const warnings: { readonly message: string; readonly fault?: string }[] = [];

  const childFds = (): number => readdirSync(`/proc/${child.pid}/fd`).length;
  const isUp = (): boolean => child.exitCode === null && child.signalCode === null;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-hostile-'));
    victim = join(dir, 'victim.sock');
    const goodPath = join(dir, 'good.sock');
    const main = new URL('serve-main.js', import.meta.url).pathname;
    child = spawn(process.execPath, [main, victim, goodPath], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    assert.ok(child.stdout);
    warnings.splice(0);
    createInterface(child.stdout).on('line', (line) => warnings.push(JSON.parse(line)));
    await until('the server', () => warnings.some(({ message }) => message === 'ready'));
    warnings.splice(0);
    good = await RingGuest.start(goodPath);
    await good.echo();
    await good.echo();
    idleFds = childFds();
  });

  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.destroy();
    good.close();
    child.kill('SIGKILL');
    if (isUp()) await once(child, 'exit');
    rmSync(dir, { recursive: true });
  });

  /** The other guest is served as before. */
  async function isUnharmed(): Promise<void> {
    const ms = await good.echo();
    assert.ok(isUp(), `the server has ended: ${child.signalCode}`);
    assert.ok(ms < PROMPT_MS, `the other guest waited ${ms} ms`);
  }

  const faultOf = (): string => {
    const { fault = 'no fault' } = warnings.at(-1) ?? {};
    return fault.split(':')[0] ?? '';
  };

  /** Attack on a connection of its own, which the server ends. @returns the fault */
  async function attack(act: (frontend: SocketFrontend) => unknown): Promise<string> {
    const before = warnings.length;
    const frontend = await SocketFrontend.connect(victim);
    const closed = once(frontend.socket.resume(), 'close');
    await act(frontend);
    await closed;
    await until('the warning', () => warnings.length > before);
    await isUnharmed();
    return faultOf();
  }

  const kinds: Record<string, () => number> = {
    'a regular file': () => openSync(join(dir, 'file'), 'w+'),
    'a directory': () => openSync(dir, 'r'),
    '/dev/zero': () => openSync('/dev/zero', 'r+'),
    'a full pipe': () => fullPipe(dir),
    'a socket': () => posix.socketPair('stream')[0],
    'a descriptor without access': () => openSync('/dev/null', O_PATH),
    'an epoll': epoll,
    'a memory file': () => memoryFile(4096, MFD_ALLOW_SEALING),
  };
  for (const [kind, open] of Object.entries(kinds)) {
    it(`refuses ${kind} as kick, call and err`, async () => {
      for (const request of [m.SET_VRING_KICK, m.SET_VRING_CALL, m.SET_VRING_ERR]) {
        const fd = open();
        const fault = await attack((frontend) => {
          frontend.send(request, u32(0, 0), [fd]);
          closeSync(fd);
        });
        assert.equal(fault, 'not-an-event-counter');
      }
    });
  }

  const onDisk = (len: number): number => {
    const fd = openSync(join(dir, `memory-${Math.random()}`), 'w+');
    ftruncateSync(fd, len);
    return fd;
  };
  const memories: Record<string, [() => number, string]> = {
    'a file on disk': [() => onDisk(MEMORY_LEN), 'not-a-memory-file'],
    'a directory': [() => openSync(dir, 'r'), 'not-a-memory-file'],
    '/dev/zero': [() => openSync('/dev/zero', 'r+'), 'not-a-memory-file'],
    'an event counter': [eventCounter, 'not-a-memory-file'],
    'a socket': [() => posix.socketPair('stream')[0], 'not-a-memory-file'],
    'a memory file that cannot be sealed': [() => memoryFile(MEMORY_LEN, 0), 'memory-may-shrink'],
    'a file of /dev/shm': [
      () => {
        const path = `/dev/shm/hawser-${process.pid}`;
        const fd = openSync(path, 'w+');
        ftruncateSync(fd, MEMORY_LEN);
        rmSync(path);
        return fd;
      },
      'memory-may-shrink',
    ],
    'huge pages': [
      () => memoryFile(1 << 21, MFD_ALLOW_SEALING | MFD_HUGETLB, F_SEAL_SHRINK),
      'memory-may-shrink',
    ],
    'a memory file that is too short': [
      () => memoryFile(MEMORY_LEN - 1, MFD_ALLOW_SEALING, F_SEAL_SHRINK),
      'map-failed',
    ],
  };
  for (const [kind, [open, expected]] of Object.entries(memories)) {
    it(`takes no memory of ${kind}`, async () => {
      const fd = open();
      const fault = await attack((frontend) => {
        frontend.send(m.SET_MEM_TABLE, memoryTable(), [fd]);
        closeSync(fd);
      });
      assert.equal(fault, expected);
      await until('what came along to be closed', () => childFds() <= idleFds + 1);
    });
  }

  it('has its memory for good: a truncation fails, and a running queue goes on', async () => {
    const guest = await RingGuest.start(victim);
    await guest.echo();
    assert.throws(() => ftruncateSync(guest.memory, 0), { code: 'EPERM' });
    await guest.echo();
    guest.close();
    await isUnharmed();
    await until('every descriptor to be closed', () => childFds() === idleFds);
  });

  it('is not blocked by a counter that is full and waits for room, or is empty and waits', async () => {
    const guest = await RingGuest.start(victim);
    await guest.echo();
    const full = u64(0xffff_ffff_ffff_fffen);
    for (const fd of guest.counters) makeBlocking(fd);
    const emptied = new Uint8Array(8);
    for (const call of [guest.counters[1] ?? -1, guest.counters[3] ?? -1]) {
      posix.write(call, u64(1), 0, 8);
      posix.read(call, emptied, 0, 8);
      assert.equal(posix.write(call, full, 0, 8), 8);
    }
    await guest.echo(); // both queues were called
    await guest.echo();
    await isUnharmed();
    guest.close();
  });

  it('refuses sizes and offsets beyond any machine', async () => {
    const file = memoryFile(m.MAX_MEMORY_LEN, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
    const tables: [Uint8Array, string][] = [
      [memoryTable(2n ** 64n - 1n), 'malformed'],
      [memoryTable(2n ** 53n), 'malformed'],
      [memoryTable(m.MAX_MEMORY_LEN + 1), 'malformed'],
      [memoryTable(0), 'malformed'],
      [memoryTable(4096, 2 ** 50), 'map-failed'],
      [memoryTable(4096, 4), 'malformed'],
      [u64(1, 2n ** 64n - 4096n, 8192, USER_BASE, 0), 'malformed'],
      [u64(1, GUEST_BASE, 4096, 2n ** 64n - 1n, 0), 'malformed'],
      [u64(2n ** 32n - 1n), 'malformed'],
    ];
    for (const [table, expected] of tables) {
      const fault = await attack((frontend) => frontend.send(m.SET_MEM_TABLE, table, [file]));
      assert.equal(fault, expected);
    }
    closeSync(file);
    assert.equal(childFds(), idleFds);
  });

  it('leaks no descriptor: too many with a message, with one that takes none, with every byte', async () => {
    const file = memoryFile(4096, MFD_ALLOW_SEALING);
    const many = (count: number): number[] => Array.from({ length: count }, () => file);
    await attack((frontend) => frontend.send(m.SET_VRING_KICK, u32(0, 0), many(8)));
    await attack((frontend) => {
      for (const byte of message(m.SET_OWNER)) {
        posix.sendWithFds(frontend.fd, Uint8Array.of(byte), many(8));
      }
    });
    await attack((frontend) => {
      frontend.send(m.GET_FEATURES, new Uint8Array(0), many(3));
      // The connection may have ended at the first one.
      posix.sendWithFds(frontend.fd, message(99), many(3));
      posix.sendWithFds(frontend.fd, message(m.SET_OWNER), many(3));
    });
    await until('all to be closed', () => childFds() === idleFds);
    assert.equal(
      await attack((it) => it.send(m.SET_OWNER, undefined, many(9))),
      'too many descriptors',
    );
    assert.ok(childFds() <= idleFds + 1, 'one connection whose queue must not be touched');
    closeSync(file);
  });

  it('waits for no socket that lingers, wherever it is', async () => {
    await attack((frontend) =>
      withLinger((fd) => frontend.send(m.SET_VRING_CALL, u32(0, 0), [fd])),
    );
    await attack((frontend) => withLinger((fd) => frontend.send(m.SET_OWNER, u64(0), [fd])));
    await attack((frontend) =>
      withLinger((fd) => {
        frontend.send(99);
        return posix.sendWithFds(frontend.fd, message(m.SET_OWNER), [fd]);
      }),
    );
    await attack((frontend) =>
      withLinger((fd) =>
        frontend.send(
          m.SET_OWNER,
          undefined,
          Array.from({ length: 40 }, () => fd),
        ),
      ),
    );
    const first = await SocketFrontend.connect(victim);
    const refused = await SocketFrontend.connect(victim);
    await withLinger((fd) => posix.sendWithFds(refused.fd, message(m.SET_OWNER), [fd]));
    await isUnharmed();
    first.socket.destroy();
  });

  it('serves no one any more after too many descriptors that must not be closed', async () => {
    const [a, b] = posix.socketPair('stream');
    let attacks = 0;
    const isClosed = (): boolean =>
      warnings.some(({ message: text }) => text.startsWith('vhost-user socket closed'));
    while (!isClosed() && attacks++ < 40) {
      await attack((frontend) => frontend.send(m.SET_OWNER, undefined, [a, b]));
    }
    assert.ok(isClosed());
    await assert.rejects(SocketFrontend.connect(victim), { code: 'ENOENT' });
    assert.ok(childFds() < idleFds + 24);
    await isUnharmed();
    for (const fd of [a, b]) posix.close(fd);
  });

  it('keeps the event loop free under a flood of messages', async () => {
    const large = memoryFile(m.MAX_MEMORY_LEN, MFD_ALLOW_SEALING, F_SEAL_SHRINK);
    const floods: [Uint8Array, number[], number][] = [
      [message(m.SET_OWNER), [], 6_000],
      [message(m.RESET_OWNER), [], 6_000],
      [message(m.SET_MEM_TABLE, memoryTable(m.MAX_MEMORY_LEN)), [large], 30],
      [message(m.SET_MEM_TABLE, memoryTable(4096)), [large], 100],
      [message(m.SET_VRING_KICK, u32(0, 0)), [good.counters[0] ?? -1], 6_000],
      [message(m.GET_FEATURES), [], 6_000], // replies that nobody reads
    ];
    for (const [bytes, fds, count] of floods) {
      const frontend = await SocketFrontend.connect(victim);
      let worst = 0;
      for (let round = 0; round < 30; round++) {
        for (let i = 0; i < count / 30; i++) posix.sendWithFds(frontend.fd, bytes, fds);
        worst = Math.max(worst, await good.echo());
      }
      assert.ok(worst < PROMPT_MS, `the other guest waited ${worst} ms`);
      frontend.socket.destroy();
      await isUnharmed();
    }
    closeSync(large);
    await until('every descriptor to be closed', () => childFds() === idleFds);
  });
});
