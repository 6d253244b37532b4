/**
 * The TCP ports on which this process listens, regardless of what opened them: a debugger, a library, a mistake. Read
 * from the kernel, and cached for {@link KEEP_MS}, or longer where reading takes long; outside Linux none are known. Whose
 * a socket is, is looked for when its port is asked for: the process may have thousands of descriptors.
 *
 * Reading takes a descriptor. While none is left, what was found before holds, and a socket of unknown owner counts as
 * ours: a guest that uses up the descriptors does not reach more by it.
 */
import { fstatSync, readdirSync } from 'node:fs';
import { LISTENING_SOCKETS } from '../native/listening-sockets.ts';
import { isShort, type ListeningEntry } from '../native/listening-tables.ts';

const KEEP_MS = 100;
/** Reading takes at most this fraction of the time: with many connections the kernel may walk all of them, for milliseconds. */
const SHARE = 1 / 500;
/** Sockets whose owner is cached. */
const INODES_MAX = 4_096;

/** @param address as it is bound, in canonical form */
export type IsOffered = (address: string, port: number) => boolean;

export interface ProcessSockets {
  /** All that listen. @returns undefined when they cannot be read now */
  listening(): readonly ListeningEntry[] | undefined;
  /** The inodes of the descriptors of this process; undefined: they cannot be read now. */
  inodes(): ReadonlySet<string> | undefined;
}

export class ProcessListeners {
  private readonly sockets: ProcessSockets;
  private readonly now: () => number;
  /** Whether a socket that listens is ours, by its inode. */
  private readonly isOurs = new Map<string, boolean>();
  private byPort: ReadonlyMap<number, readonly ListeningEntry[]> = new Map();
  private goodUntil = Number.NEGATIVE_INFINITY;

  constructor(sockets: ProcessSockets = OF_PROCESS, now: () => number = () => performance.now()) {
    this.sockets = sockets;
    this.now = now;
  }

  /**
   * The addresses, as bound, at which this process listens on `port`.
   *
   * @param isOffered listeners that do not count; one that was offered when the sockets were read does not count until they
   *   are read again, for it may have been withdrawn since
   */
  addressesAt(port: number, isOffered: IsOffered = () => false): ReadonlySet<string> | undefined {
    const begun = this.now();
    const isRead = begun >= this.goodUntil && this.scan(isOffered);
    const entries = this.byPort.get(port);
    const isKnown = entries?.every(({ inode }) => this.isOurs.has(inode)) ?? true;
    const isComplete = isKnown || this.learn();
    if (isRead && isComplete) {
      const tookMs = this.now() - begun;
      this.goodUntil = begun + tookMs + Math.max(KEEP_MS, tookMs / SHARE);
    }
    const ours = entries?.filter(({ inode }) => this.isOurs.get(inode) !== false) ?? [];
    return ours.length === 0 ? undefined : new Set(ours.map(({ address }) => address));
  }

  /** @returns false when they could not be read */
  private scan(isOffered: IsOffered): boolean {
    const all = this.sockets.listening();
    if (all === undefined) return false;
    const found = new Map<number, ListeningEntry[]>();
    for (const entry of all) {
      const { address, port } = entry;
      if (isOffered(address, port)) continue;
      const others = found.get(port);
      if (others === undefined) found.set(port, [entry]);
      else others.push(entry);
    }
    this.byPort = found;
    return true;
  }

  private learn(): boolean {
    const ours = this.sockets.inodes();
    if (ours === undefined) return false;
    const { byPort, isOurs } = this;
    const entries = [...byPort.values()].flat();
    if (isOurs.size + entries.length > INODES_MAX) isOurs.clear();
    for (const { inode } of entries) isOurs.set(inode, ours.has(inode));
    return true;
  }
}

const OF_PROCESS: ProcessSockets = {
  listening: () => LISTENING_SOCKETS.read(),
  inodes() {
    let fds: string[];
    try {
      fds = readdirSync('/proc/self/fd');
    } catch (error) {
      return isShort(error) ? undefined : new Set();
    }
    return new Set(fds.flatMap((fd) => inodeOf(Number(fd)) ?? []));
  },
};

function inodeOf(fd: number): string | undefined {
  try {
    const stats = fstatSync(fd);
    return stats.isSocket() ? String(stats.ino) : undefined;
  } catch {
    return undefined; // closed in the meantime: the descriptor of the listing itself
  }
}
