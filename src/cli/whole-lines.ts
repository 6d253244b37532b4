/**
 * Lines to a descriptor that takes a line, a part of it, or nothing: a disk or a pipe that is full. What a line lacks goes
 * ahead of the next one, so that no two are joined.
 */
import { writeSync } from 'node:fs';

const NOTHING = Buffer.alloc(0);

export class WholeLines {
  /** Of a line that was taken in part. */
  private rest: Buffer = NOTHING;

  /**
   * @param line ends in a newline
   * @returns false when nothing of it was taken
   * @throws the system's error; nothing of it was taken
   */
  write(fd: number, line: string): boolean {
    if (this.rest.length > 0) {
      this.rest = this.rest.subarray(writeSync(fd, this.rest));
      if (this.rest.length > 0) return false;
    }
    const bytes = Buffer.from(line);
    this.rest = bytes.subarray(writeSync(fd, bytes));
    return this.rest.length < bytes.length;
  }

  /** The next line goes to another file: one that lacks its end is not completed there. */
  forget(): void {
    this.rest = NOTHING;
  }
}
