/**
 * A file that one process alone should write: a lock (flock(2)) on what is at its path says so to others, and theirs to
 * us, which is a warning, once. Nothing fails for it, and nothing is said where there are no native calls, or the file
 * system has no locks. A lock is of a file and not of its name: who replaces the file claims it again.
 */
import { closeSync, constants, fstatSync, openSync, type Stats, statSync } from 'node:fs';
import type { Log } from '../base/log.ts';
import { EAGAIN } from './constants.ts';
import type { Posix } from './posix.ts';

const { O_RDWR, O_NONBLOCK, O_NOCTTY } = constants; // locks of NFS are of files that may be written

/** Of a file that was claimed. */
interface Held {
  readonly fd: number;
  readonly dev: number;
  readonly ino: number;
}

export class FileClaim {
  private readonly path: string;
  private readonly what: string;
  private readonly log: Log;
  private posix: Pick<Posix, 'lockFile'> | undefined = undefined;
  private held: Held | undefined = undefined;
  private isTold = false;

  /** @param what the file is, for the warning: `the audit log` */
  constructor(path: string, what: string, log: Log) {
    this.path = path;
    this.what = what;
    this.log = log;
  }

  /** There are native calls from now on. */
  useCalls(posix: Pick<Posix, 'lockFile'>): void {
    this.posix = posix;
    this.renew();
  }

  /** Call it before the file is replaced, and after: it may be another's. */
  renew(): void {
    const { posix, held } = this;
    if (posix === undefined) return;
    const found = statSync(this.path, { throwIfNoEntry: false });
    if (found !== undefined && held !== undefined && isSame(held, found)) return;
    this.close();
    if (found?.isFile() === true) this.lock(posix);
  }

  close(): void {
    if (this.held !== undefined) closeSync(this.held.fd);
    this.held = undefined;
  }

  private lock(posix: Pick<Posix, 'lockFile'>): void {
    let fd: number;
    try {
      fd = openSync(this.path, O_RDWR | O_NONBLOCK | O_NOCTTY);
    } catch {
      return; // it has gone, or is not ours to write: who writes it says so
    }
    const error = posix.lockFile(fd);
    if (error === 0) {
      const { dev, ino } = fstatSync(fd);
      this.held = { fd, dev, ino };
      return;
    }
    closeSync(fd);
    if (error !== -EAGAIN || this.isTold) return;
    this.isTold = true;
    this.log.warn(
      { file: this.path },
      `${this.what} is in use by another process: give each a file of its own`,
    );
  }
}

const isSame = (held: Held, found: Stats): boolean =>
  held.dev === found.dev && held.ino === found.ino;
