/** The readiness line: one line of JSON on a descriptor that the launcher gave us. */
import { closeSync, fstatSync, writeSync } from 'node:fs';
import type { Log } from '../base/log.ts';
import type { PortView } from '../control/network-view.ts';
import { messageOf, UsageError } from '../network/errors.ts';

export interface Readiness {
  readonly ready: true;
  readonly name: string;
  readonly pid: number;
  readonly links: readonly string[];
  readonly api: string;
  readonly ports: readonly PortView[];
}

/** @throws UsageError unless `fd` is a pipe, socket, file or terminal: before anything is started */
export function checkReadyFd(fd: number): void {
  try {
    const stat = fstatSync(fd);
    if (stat.isFIFO() || stat.isSocket() || stat.isFile() || stat.isCharacterDevice()) return;
  } catch {
    // The same answer.
  }
  throw new UsageError([
    `--ready-fd ${fd}: must be an open descriptor to write to, such as "--ready-fd 3 3>ready.json"`,
  ]);
}

/** Write the line, and close the descriptor so that a reader sees its end, unless it is to stay open. */
export function announceReady(
  fd: number,
  readiness: Readiness,
  log: Log,
  staysOpen: boolean,
): void {
  try {
    writeSync(fd, `${JSON.stringify(readiness)}\n`);
    if (fd > 2 && !staysOpen) closeSync(fd);
  } catch (error) {
    log.warn({ fd, reason: messageOf(error) }, 'the readiness line has no reader');
  }
}
