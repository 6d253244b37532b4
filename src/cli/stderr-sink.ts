/**
 * The sink of log lines: a descriptor, usually stderr, which may have no reader.
 *
 * Node writes to pipes synchronously: a launcher that keeps our stderr but does not read it would stop the
 * whole daemon as soon as the pipe is full. So a pipe or terminal is opened a second time, non-blocking (our
 * own open file description: the flag is not shared with the launcher), and lines that do not fit are dropped and
 * counted. A reader that went away silences the sink; it never ends the daemon.
 */
import { constants, fstatSync, openSync } from 'node:fs';
import { errorCode } from '../network/errors.ts';
import type { LineSink } from './line-sink.ts';
import { WholeLines } from './whole-lines.ts';

function reopen(fd: number): number {
  try {
    const stat = fstatSync(fd);
    if (!stat.isFIFO() && !stat.isCharacterDevice()) return fd;
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return fd; // no /proc, or no permission to open it: use the plain descriptor
  }
}

export class StderrSink implements LineSink {
  private readonly fd: number;
  private readonly lines = new WholeLines();

  constructor(fd = 2) {
    this.fd = reopen(fd);
  }

  write(line: string): boolean {
    try {
      return this.lines.write(this.fd, line);
    } catch (error) {
      // EAGAIN: full. EPIPE and the rest: no reader, who is not told either. Neither is a reason to stop.
      return errorCode(error) !== 'EAGAIN';
    }
  }
}
