/**
 * The TCP ports on which this process listens, regardless of what opened them: a debugger, a library, a mistake. Read
 * from /proc, and cached for {@link KEEP_MS}, or longer where reading takes long; outside Linux none are known.
 *
 * The kernel's table lists listening sockets before all connections, so the read stops at the first connection.
 *
 * Reading takes a descriptor. While none is left, what was found before holds, and a socket of unknown owner counts as
 * ours: a guest that uses up the descriptors does not reach more by it.
 */
import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { errorCode } from '../native/errors.ts';
import { parseAddress } from '../services/address-text.ts';

const KEEP_MS = 100;
/** Reading takes at most this fraction of the time: with many connections the kernel walks all of them, for milliseconds. */
const SHARE = 1 / 500;
const LISTEN = '0A';
const CHUNK_BYTES = 16_384;
/** Sockets whose owner is cached. */
const INODES_MAX = 4_096;

interface Entry {
  readonly address: string;
  readonly port: number;
  readonly inode: string;
}

/** @param address as it is bound, in canonical form */
export type IsOffered = (address: string, port: number) => boolean;

export interface ProcFiles {
  /** The text of a table, read until `isEnough` returns true; '' where there is none; undefined: it cannot be read now. */
  read(path: string, isEnough: (text: string) => boolean): string | undefined;
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
    const ipv4 = listening(this.files, 'tcp');
    const ipv6 = listening(this.files, 'tcp6');
    if (ipv4 === undefined || ipv6 === undefined) return false;
    const entries = [...ipv4, ...ipv6];
    const isComplete = entries.every(({ inode }) => this.isOurs.has(inode)) || this.learn(entries);
    const found = new Map<number, Set<string>>();
    for (const { address, port, inode } of entries) {
      if (this.isOurs.get(inode) === false || isOffered(address, port)) continue;
      found.set(port, (found.get(port) ?? new Set()).add(address));
    }
    this.byPort = found;
    return isComplete;
  }

  private learn(entries: readonly Entry[]): boolean {
    const links = this.files.descriptors();
    if (links === undefined) return false;
    if (this.isOurs.size + entries.length > INODES_MAX) this.isOurs.clear();
    const ours = new Set(links);
    for (const { inode } of entries) this.isOurs.set(inode, ours.has(`socket:[${inode}]`));
    return true;
  }
}

function listening(files: ProcFiles, table: string): Entry[] | undefined {
  const text = files.read(`/proc/self/net/${table}`, (part) => !allListen(part));
  return text?.split('\n').flatMap((line) => entryOf(line) ?? []);
}

/** Whether the last complete line, if there is one besides the heading, is a listening socket. */
function allListen(text: string): boolean {
  const lines = text.split('\n');
  const last = lines[lines.length - 2];
  return lines.length <= 2 || last === undefined || stateOf(last) === LISTEN;
}

const stateOf = (line: string): string | undefined => line.trim().split(/\s+/)[3];

function entryOf(line: string): Entry | undefined {
  const fields = line.trim().split(/\s+/);
  const [, local = '', , state, , , , , , inode] = fields;
  const [hex = '', port = ''] = local.split(':');
  if (state !== LISTEN || inode === undefined) return undefined;
  return { address: addressOf(hex), port: Number.parseInt(port, 16), inode };
}

/** The kernel prints each word of four bytes as it is in memory. */
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  if (bytes.length === 4) return bytes.join('.');
  const groups: string[] = [];
  for (let at = 0; at < bytes.length; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  const text = groups.join(':');
  return parseAddress(text)?.toString() ?? text;
}

const SHORT: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);
/** It may succeed later. */
const isShort = (error: unknown): boolean => error instanceof Error && SHORT.has(errorCode(error));

const PROC: ProcFiles = {
  read(path, isEnough) {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch (error) {
      return isShort(error) ? undefined : ''; // not Linux, or without IPv6
    }
    try {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      let text = '';
      for (;;) {
        const len = readSync(fd, chunk);
        if (len === 0) return text;
        text += chunk.toString('latin1', 0, len);
        if (isEnough(text)) return text;
      }
    } finally {
      closeSync(fd);
    }
  },
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
