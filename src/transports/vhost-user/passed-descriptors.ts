/**
 * Descriptors that a frontend passes to us. It may be hostile, and a descriptor can be anything that a process can open.
 *
 * - Kicks and calls must be event counters: the event loop aborts the process over a descriptor that cannot be polled,
 *   and a write to a full pipe waits.
 * - Memory must be a memfd that is sealed against shrinking, or can be: to touch a page beyond the end of a file ends the
 *   process by SIGBUS. QEMU's memory-backend-memfd seals its own. Files of tmpfs (/dev/shm) and hugetlbfs cannot be sealed,
 *   and a page of hugetlbfs may be given back and be missing later. Where the machine is trusted they are used as well.
 * - Nothing may be asked of a file before it is known to be in memory, and no descriptor closed that is not known to be
 *   harmless: a file system in user space answers when it likes, and a socket that lingers keeps whoever closes it. Such
 *   descriptors are kept, a few of them; then the frontend's socket must be closed for good.
 */
import { fstatSync, readFileSync, readlinkSync, statfsSync } from 'node:fs';
import { ETOOMANYREFS } from '../../native/constants.ts';
import type { FdReceiver, Posix } from '../../native/posix.ts';
import { type Watch, watchReadable } from '../../native/watch.ts';
import type { FdPort, MapFault, Mapped } from './backend.ts';
import type { MachineMemory } from './machine-memory.ts';
import type { MemoryRegion } from './message.ts';

const MAX_KEPT = 16;
/** Messages in the queue when a connection ends: more than the peer's send buffer holds. */
const MAX_UNREAD = 1024;
const COUNTER = 'anon_inode:[eventfd]';
const HUGETLBFS_MAGIC = 0x9584_58f6;
/** File systems that close a file without waiting for anyone. */
const PROMPT: ReadonlySet<string> = new Set([
  ...['ext4', 'xfs', 'btrfs', 'f2fs', 'zfs', 'overlay', 'tmpfs', 'devtmpfs', 'ramfs', 'proc'],
]);

export class PassedDescriptors implements FdPort {
  /** Descriptors that are open until the process ends. */
  kept = 0;
  private readonly posix: Posix;
  private readonly memory: MachineMemory;

  constructor(posix: Posix, memory: MachineMemory) {
    this.posix = posix;
    this.memory = memory;
  }

  /** No more may be taken from frontends. */
  get isFull(): boolean {
    return this.kept >= MAX_KEPT;
  }

  map(fd: number, { fileOffset, len }: MemoryRegion): Mapped | MapFault {
    const fault = this.memory === 'any' ? undefined : this.faultOf(fd);
    if (fault !== undefined) return fault;
    const stat = fstatSync(fd);
    if (!stat.isFile()) return 'not-a-memory-file';
    if (stat.size < fileOffset + len) return 'map-failed';
    try {
      // An offset need not be a multiple of the page size: the mapping begins at the file's start.
      const mapping = this.posix.mapShared(fd, 0, fileOffset + len);
      return {
        view: (off: number, viewLen: number) => mapping.view(fileOffset + off, viewLen),
        unmap: () => mapping.unmap(),
      };
    } catch {
      return 'map-failed';
    }
  }

  isCounter(fd: number): boolean {
    return linkOf(fd) === COUNTER;
  }

  watch(fd: number, onKick: () => void): Watch {
    const { eventCounters } = this.posix;
    return watchReadable(fd, () => {
      if (eventCounters.take(fd) > 0) onKick();
    });
  }

  signal(fd: number): void {
    this.posix.eventCounters.signal(fd);
  }

  close(fd: number): void {
    if (this.memory === 'any' || this.isHarmless(fd)) this.posix.close(fd);
    else this.kept++;
  }

  /** End a connection: what is queued is received first, because the kernel would wait for it as well. */
  closeConnection(watch: Watch, receiver: FdReceiver): void {
    this.posix.shutdown(watch.fd);
    const discarded = new Uint8Array(2048);
    for (let unread = 0; unread < MAX_UNREAD; unread++) {
      const fds: number[] = [];
      const len = receiver.receive(discarded, 0, discarded.length, fds);
      for (const fd of fds) this.close(fd);
      if (len === -ETOOMANYREFS) break;
      if (len > 0) continue;
      watch.close();
      return;
    }
    for (const fd of receiver.ahead) this.close(fd);
    watch.abandon();
    this.kept++;
  }

  private faultOf(fd: number): MapFault | undefined {
    if (!this.posix.isMemoryFile(fd)) return 'not-a-memory-file';
    const isSealed = this.posix.sealSize(fd) && statfsSync(pathOf(fd)).type !== HUGETLBFS_MAGIC;
    return isSealed ? undefined : 'memory-may-shrink';
  }

  private isHarmless(fd: number): boolean {
    if (this.posix.isMemoryFile(fd)) return true;
    const link = linkOf(fd);
    if (link === COUNTER || link.startsWith('pipe:')) return true;
    if (!isOnPromptFileSystem(fd)) return false;
    const stat = fstatSync(fd);
    return stat.isFile() || stat.isDirectory() || stat.isFIFO();
  }
}

const pathOf = (fd: number): string => `/proc/self/fd/${fd}`;

/** What the kernel calls it; no file system is asked. '' where it does not say. */
function linkOf(fd: number): string {
  try {
    return readlinkSync(pathOf(fd));
  } catch {
    return '';
  }
}

/** By our own table of mounts, which a mount of another namespace is not in. */
function isOnPromptFileSystem(fd: number): boolean {
  try {
    const id = /^mnt_id:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
    const mounts = readFileSync('/proc/self/mountinfo', 'latin1');
    // ID parent major:minor root point options fields... - type source options
    const type = new RegExp(`^${id} .* - (\\S+) `, 'm').exec(mounts)?.[1];
    return type !== undefined && PROMPT.has(type);
  } catch {
    return false;
  }
}
