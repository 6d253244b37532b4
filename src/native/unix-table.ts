/** The kernel's table of the Unix sockets in this network namespace. */
import { readFileSync } from 'node:fs';

/** SO_ACCEPTCON, as the table's column of flags has it. */
const LISTENING = '00010000';

/**
 * Whether a stream socket bound to `path` listens. False also where the table does not show it: in another
 * namespace, or on a system without one.
 */
export const isListenedOn = (path: string): boolean =>
  socketsAt(path).some(({ flags }) => flags === LISTENING);

/** Of the socket bound to `path`, as sock_diag(7) names it; undefined where it is not shown, or others were bound there as well. */
export function inodeOfSocket(path: string): number | undefined {
  const [socket, other] = socketsAt(path);
  return other === undefined ? socket?.inode : undefined;
}

interface BoundSocket {
  readonly flags: string;
  readonly inode: number;
}

function socketsAt(path: string): BoundSocket[] {
  let table: string;
  try {
    table = readFileSync('/proc/self/net/unix', 'latin1');
  } catch {
    return [];
  }
  const wanted = Buffer.from(path).toString('latin1');
  const found: BoundSocket[] = [];
  for (const line of table.split('\n')) {
    if (!line.endsWith(wanted)) continue;
    // Num RefCount Protocol Flags Type St Inode Path
    const [, flags = '', inode, bound] =
      /^(?:\S+ +){3}(\S+) +(?:\S+ +){2}(\d+) (.*)$/.exec(line) ?? [];
    if (bound === wanted) found.push({ flags, inode: Number(inode) });
  }
  return found;
}
