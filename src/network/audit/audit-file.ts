/**
 * Lines appended to a file, for this user alone, which is rotated by size: `FILE` becomes `FILE.1`, that `FILE.2`, and so
 * on. It is opened again on request, so that others can rotate it too. Not through a symbolic link.
 *
 * Lines are queued and written behind the caller's back, by one write at a time; what does not fit in the queue is lost and
 * counted. {@link AuditFile.writeNow} is for a line that has to be there before the caller goes on. What a full disk has
 * not taken is kept, and tried again: no line is torn, neither between two files nor by a daemon that was killed.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  write,
  writeSync,
} from 'node:fs';
import type { Log } from '../../base/log.ts';
import { FileClaim } from '../../native/file-claim.ts';
import { errorCode, messageOf } from '../errors.ts';

const { O_APPEND, O_CREAT, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
const MODE = 0o600;

export const QUEUE_BYTES: number = 4 * 1024 * 1024;
/** Older files. */
export const KEPT_FILES = 4;
export const RETRY_MS = 1_000;
const NOTHING = Buffer.alloc(0);
const LINE_FEED = 0x0a;

export class AuditError extends Error {
  override name: string = 'AuditError';
  readonly code = 'ERR_HAWSER_AUDIT';
}

export interface AuditFileOptions {
  readonly path: string;
  /** Rotated when it has this many; 0: never. */
  readonly maxBytes: number;
  /** Every write is done before the call that causes it returns. */
  readonly isSynchronous: boolean;
  readonly log: Log;
  /** A line that says that `lines` are missing before it. */
  readonly gapLine: (lines: number) => string;
  readonly queueBytes?: number | undefined;
}

export class AuditFile {
  /** Lines that were written, and lost. */
  written = 0;
  lost = 0;
  /** Why the last write has failed; undefined: it has not. */
  problem: string | undefined = undefined;
  readonly claim: FileClaim;
  private readonly options: AuditFileOptions;
  private fd: number;
  private size = 0;
  /** A device or a pipe is not to be renamed. */
  private isRegular = false;
  private queue: string[] = [];
  private queuedBytes = 0;
  /** Of lines that were being written, what the file has not taken yet. */
  private rest: Buffer = NOTHING;
  /** The beginning of the line whose end is that of {@link rest}: the file has it. */
  private torn: Buffer = NOTHING;
  private untold = 0;
  private writing: Promise<void> | undefined = undefined;
  private isScheduled = false;
  private retry: NodeJS.Timeout | undefined = undefined;

  /** @throws AuditError */
  constructor(options: AuditFileOptions) {
    this.options = options;
    this.claim = new FileClaim(options.path, 'the audit log', options.log);
    this.fd = this.open();
    if (this.isRegular && this.size > 0 && !endsLine(options.path, this.size)) this.put('\n');
  }

  /** @param line with its line feed */
  add(line: string): void {
    const { queueBytes = QUEUE_BYTES } = this.options;
    if (this.queuedBytes + this.rest.length + line.length > queueBytes) {
      this.lost++;
      this.untold++;
      return;
    }
    this.tellLoss();
    this.put(line);
    this.schedule();
  }

  /** Of a file that is synchronous. @returns whether it is written */
  writeNow(line: string): boolean {
    if (this.retry !== undefined) return false;
    this.put(line);
    if (this.flush()) return true;
    // None of it is there: it was the last one. What is there in part is completed.
    const lineBytes = Buffer.byteLength(line);
    if (this.rest.length >= lineBytes) {
      this.rest = this.rest.subarray(0, this.rest.length - lineBytes);
      this.written--;
    }
    return false;
  }

  /** The file of that name now. @throws AuditError; records go where they went */
  reopen(): void {
    const before = this.fd;
    this.fd = this.open();
    if (this.torn.length > 0 && this.writing === undefined) this.moveLine(before);
    this.closeLater(before);
    this.claim.renew();
  }

  /** Resolves when all is written, or cannot be. */
  async close(): Promise<void> {
    clearTimeout(this.retry);
    this.retry = undefined;
    await this.writing;
    this.flush();
    closeSync(this.fd);
    this.claim.close();
    this.fd = -1;
  }

  private put(line: string): void {
    this.queue.push(line);
    this.queuedBytes += line.length;
  }

  private tellLoss(): void {
    if (this.untold === 0) return;
    this.put(this.options.gapLine(this.untold));
    this.untold = 0;
  }

  private schedule(): void {
    if (this.isScheduled || this.retry !== undefined || this.writing !== undefined) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      if (this.fd < 0) return;
      if (this.options.isSynchronous) this.flush();
      else this.writing ??= this.drain().finally(() => this.onDrained());
    });
  }

  private onDrained(): void {
    this.writing = undefined;
    if (this.queue.length > 0) this.schedule();
  }

  /** What waits, as bytes. */
  private take(): Buffer {
    const { queue, rest } = this;
    this.written += queue.length;
    this.queue = [];
    this.queuedBytes = 0;
    this.rest = NOTHING;
    return rest.length === 0
      ? Buffer.from(queue.join(''))
      : Buffer.concat([rest, Buffer.from(queue.join(''))]);
  }

  private async drain(): Promise<void> {
    while (this.queue.length > 0 || this.rest.length > 0) {
      const bytes = this.take();
      const { fd } = this;
      for (let at = 0; at < bytes.length; ) {
        const result = await written(fd, bytes.subarray(at));
        if (typeof result !== 'number') {
          this.keep(bytes, at);
          if (fd !== this.fd) this.moveLine(fd);
          this.onFailed(result);
          return;
        }
        this.size += result;
        at += result;
      }
      this.onWhole();
    }
  }

  /** @returns whether all is written */
  private flush(): boolean {
    const bytes = this.take();
    for (let at = 0; at < bytes.length; ) {
      try {
        const n = writeSync(this.fd, bytes, at);
        this.size += n;
        at += n;
      } catch (error) {
        this.keep(bytes, at);
        this.onFailed(error);
        return false;
      }
    }
    this.onWhole();
    return true;
  }

  /** What is behind `at` is for another time. */
  private keep(bytes: Buffer, at: number): void {
    const begin = at === 0 ? 0 : bytes.lastIndexOf(LINE_FEED, at - 1) + 1;
    const written = bytes.subarray(begin, at);
    this.torn = begin === 0 ? Buffer.concat([this.torn, written]) : written;
    this.rest = bytes.subarray(at);
  }

  /** The line that `before` has not taken to its end belongs to the file that is open now. */
  private moveLine(before: number): void {
    const { torn } = this;
    this.rest = Buffer.concat([torn, this.rest]);
    this.torn = NOTHING;
    try {
      ftruncateSync(before, fstatSync(before).size - torn.length);
    } catch {
      // Half a line remains at the end of a file that is not written any more.
    }
  }

  private onWhole(): void {
    this.torn = NOTHING;
    if (this.problem !== undefined) {
      this.options.log.warn({ file: this.options.path }, 'the audit log is written again');
      this.problem = undefined;
    }
    this.tellLoss();
    const { maxBytes } = this.options;
    if (maxBytes > 0 && this.size >= maxBytes && this.isRegular) this.rotate();
  }

  private onFailed(error: unknown): void {
    const why = errorCode(error) || messageOf(error);
    if (this.problem === undefined) {
      const fields = { file: this.options.path, reason: why };
      this.options.log.error(fields, 'the audit log cannot be written: it is tried again');
    }
    this.problem = why;
    this.retry ??= setTimeout(() => {
      this.retry = undefined;
      this.schedule();
    }, RETRY_MS).unref();
  }

  private rotate(): void {
    const { path, log } = this.options;
    try {
      for (let n = KEPT_FILES; n > 0; n--) {
        renameOver(n === 1 ? path : `${path}.${n - 1}`, `${path}.${n}`);
      }
      this.reopen();
    } catch (error) {
      this.size = 0; // tried again after as much
      log.warn({ file: path, reason: messageOf(error) }, 'the audit log cannot be rotated');
    }
  }

  private closeLater(fd: number): void {
    if (this.writing === undefined) closeSync(fd);
    else void this.writing.finally(() => closeSync(fd));
  }

  private open(): number {
    const { path } = this.options;
    try {
      const fd = openSync(path, FLAGS, MODE);
      const stats = fstatSync(fd);
      this.size = stats.size;
      this.isRegular = stats.isFile();
      return fd;
    } catch (cause) {
      throw new AuditError(`cannot open the audit log ${path}: ${messageOf(cause)}`, { cause });
    }
  }
}

/** Whether the last one to write it was not interrupted, as far as it may be read. */
function endsLine(path: string, size: number): boolean {
  const last = Buffer.of(LINE_FEED);
  try {
    const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    try {
      readSync(fd, last, 0, 1, size - 1);
    } finally {
      closeSync(fd);
    }
  } catch {
    return true;
  }
  return last[0] === LINE_FEED;
}

/** @returns how many bytes, or the error */
function written(fd: number, bytes: Uint8Array): Promise<number | Error> {
  return new Promise((resolve) => {
    write(fd, bytes, 0, bytes.length, null, (error, n) => resolve(error ?? n));
  });
}

function renameOver(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}
