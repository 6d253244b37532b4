/** The kernel's table of the Unix sockets in this network namespace. */
import { readFileSync } from 'node:fs';

/** SO_ACCEPTCON, as the table's column of flags has it. */
const LISTENING = '00010000';

/**
 * Whether a stream socket bound to `path` listens. False also where the table does not show it: in another
 * namespace, or on a system without one.
 */
export function isListenedOn(path: string): boolean {
  let table: string;
  try {
    table = readFileSync('/proc/self/net/unix', 'latin1');
  } catch {
    return false;
  }
  const wanted = Buffer.from(path).toString('latin1');
  for (const line of table.split('\n')) {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, flags, bound] = /^(?:\S+ +){3}(\S+) +(?:\S+ +){2}\d+ (.*)$/.exec(line) ?? [];
    if (flags === LISTENING && bound === wanted) return true;
  }
  return false;
}
