/**
 * The TCP ports on which this process listens, regardless of what opened them: a debugger, a library, a mistake. Read
 * from /proc, and cached for {@link KEEP_MS}, or longer where reading takes long; outside Linux none are known.
 *
 * Reading takes a descriptor. While none is left, what was found before holds, and a socket of unknown owner counts as
 * ours: a guest that uses up the descriptors does not reach more by it.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import {
  allListening,
  isShort,
  type ListeningEntry,
  PROC_TABLES,
  type TableFiles,
} from '../native/listening-tables.ts';

const KEEP_MS = 100;
/** Reading takes at most this fraction of the time: with many connections the kernel walks all of them, for milliseconds. */
const SHARE = 1 / 500;
/** Sockets whose owner is cached. */
const INODES_MAX = 4_096;

/** @param address as it is bound, in canonical form */
export type IsOffered = (address: string, port: number) => boolean;

export interface ProcFiles extends TableFiles {
  /** The link of each descriptor of this process: `socket:[4711]`; undefined: they cannot be read now. */
  descriptors(): string[] | undefined;
}

export class ProcessListeners {
  private readonly files: ProcFiles;
  private readonly now: () => number;
  /** Whether a socket that listens is ours, by its inode. */
  private readonly isOurs = new Map<string, boolean>();
  private byPort: ReadonlyMap<number, ReadonlySet<string>> = new Map();
  private goodUntil = Number.NEGATIVE_INFINITY;

  constructor(files: ProcFiles = PROC, now: () => number = () => performance.now()) {
    this.files = files;
    this.now = now;
  }

  /**
   * The addresses, as bound, at which this process listens on `port`.
   *
   * @param isOffered listeners that do not count; one that was offered when the tables were read does not count until they
   *   are read again, for it may have been withdrawn since
   */
  addressesAt(port: number, isOffered: IsOffered = () => false): ReadonlySet<string> | undefined {
    const begun = this.now();
    if (begun >= this.goodUntil && this.scan(isOffered)) {
      const tookMs = this.now() - begun;
      this.goodUntil = begun + tookMs + Math.max(KEEP_MS, tookMs / SHARE);
    }
    return this.byPort.get(port);
  }

  /** @returns false when not everything could be read */
  private scan(isOffered: IsOffered): boolean {
    const entries = allListening(this.files);
    if (entries === undefined) return false;
    const isComplete = entries.every(({ inode }) => this.isOurs.has(inode)) || this.learn(entries);
    const found = new Map<number, Set<string>>();
    for (const { address, port, inode } of entries) {
      if (this.isOurs.get(inode) === false || isOffered(address, port)) continue;
      found.set(port, (found.get(port) ?? new Set()).add(address));
    }
    this.byPort = found;
    return isComplete;
  }

  private learn(entries: readonly ListeningEntry[]): boolean {
    const links = this.files.descriptors();
    if (links === undefined) return false;
    if (this.isOurs.size + entries.length > INODES_MAX) this.isOurs.clear();
    const ours = new Set(links);
    for (const { inode } of entries) this.isOurs.set(inode, ours.has(`socket:[${inode}]`));
    return true;
  }
}

const PROC: ProcFiles = {
  read: PROC_TABLES.read,
  descriptors() {
    let fds: string[];
    try {
      fds = readdirSync('/proc/self/fd');
    } catch (error) {
      return isShort(error) ? undefined : [];
    }
    return fds.flatMap((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return []; // closed in the meantime: the descriptor of the listing itself
      }
    });
  },
};
