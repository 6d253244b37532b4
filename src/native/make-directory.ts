/** A directory and those above it that are missing. */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from './errors.ts';

/**
 * @param mode of each that is made, before the umask
 * @returns the first that was made; undefined when all were there
 * @throws the system's error of the one that cannot be made. Node has ENOENT, from a look for `path`, in the place of most:
 *   of a file system that is full or read-only
 */
export function makeDirectory(path: string, mode: number = 0o777): string | undefined {
  try {
    return mkdirSync(path, { recursive: true, mode });
  } catch (error) {
    if (isCode(error, 'ENOENT')) makeHighest(path, mode, error);
    throw error;
  }
}

/** Of the missing directories the one whose parent is there. */
function makeHighest(path: string, mode: number, error: unknown): void {
  let highest = path;
  while (!existsSync(dirname(highest))) highest = dirname(highest);
  try {
    mkdirSync(highest, { mode });
  } catch (why) {
    throw isCode(why, 'EEXIST') ? error : why; // a symbolic link that leads nowhere
  }
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && errorCode(error) === code;
