/**
 * The sink of log lines: a descriptor, usually stderr, which may have no reader.
 *
 * Node writes to pipes synchronously: a launcher that keeps our stderr but does not read it would stop the
 * whole daemon as soon as the pipe is full. So a pipe or terminal is opened a second time, non-blocking (our
 * own open file description: the flag is not shared with the launcher), and lines that do not fit are dropped and
 * counted. A reader that went away silences the sink; it never ends the daemon.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { errorCode } from '../network/errors.ts';

export interface LineSink {
  /** @param line ends in a newline */
  write(line: string): void;
}

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
  private dropped = 0;

  constructor(fd = 2) {
    this.fd = reopen(fd);
  }

  write(line: string): void {
    const text =
      this.dropped === 0
        ? line
        : `hawser: ${this.dropped} log lines dropped: nobody reads\n${line}`;
    try {
      writeSync(this.fd, text);
      this.dropped = 0;
    } catch (error) {
      // EAGAIN: full. EPIPE and the rest: no reader. Neither is a reason to stop.
      if (errorCode(error) === 'EAGAIN') this.dropped++;
    }
  }
}
