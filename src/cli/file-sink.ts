/**
 * Log lines appended to a file, which is opened again on request so that it can be rotated. Not through a symbolic
 * link, and readable by this user alone. What cannot be written is dropped; it never ends the daemon.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { messageOf, RunError } from '../network/errors.ts';
import type { LineSink } from './line-sink.ts';
import { WholeLines } from './whole-lines.ts';

const { O_APPEND, O_CREAT, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;
/** Nonblocking: a FIFO without a reader is refused, and a full one loses lines. */
const FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

export class FileSink implements LineSink {
  private readonly path: string;
  private fd: number;
  private readonly lines = new WholeLines();

  /** @throws RunError when the file cannot be opened */
  constructor(path: string) {
    this.path = path;
    this.fd = this.open();
  }

  write(line: string): boolean {
    try {
      return this.lines.write(this.fd, line);
    } catch {
      return false;
    }
  }

  /** The file of that name now. @throws RunError; the log stays where it was */
  reopen(): void {
    const before = this.fd;
    this.fd = this.open();
    this.lines.forget();
    closeSync(before);
  }

  private open(): number {
    try {
      return openSync(this.path, FLAGS, 0o600);
    } catch (error) {
      throw new RunError(`cannot open --log-file ${this.path}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}
