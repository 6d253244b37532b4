import { readFileSync } from 'node:fs';

/** How many descriptors this process may open: Node has raised it to the hard limit. Infinite where it is not known. */
export function openFilesLimit(file = '/proc/self/limits'): number {
  try {
    const soft = /^Max open files +(\d+) /m.exec(readFileSync(file, 'latin1'))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY; // not Linux
  }
}
