/**
 * What dockerd waits for: "0\n" in one write when the port is served, or "1\n" and the message that
 * the user of `docker run` is shown. dockerd reads an error to the end of the pipe.
 */
import { closeSync, fstatSync, writeSync } from 'node:fs';

const STATUS_FD = 3;

export class StatusPipe {
  private open: boolean;

  constructor() {
    this.open = isPipe(STATUS_FD);
  }

  ok(): void {
    this.finish('0\n');
  }

  fail(message: string): void {
    this.finish(`1\n${message}`);
  }

  private finish(text: string): void {
    if (!this.open) return; // started by hand
    this.open = false;
    try {
      writeSync(STATUS_FD, text);
      closeSync(STATUS_FD);
    } catch {
      // dockerd has given up on us; its signal follows
    }
  }
}

/** Without the pipe this is a descriptor of Node's own, which is none. */
function isPipe(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}
