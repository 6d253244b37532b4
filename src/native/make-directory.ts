/** A directory and those above it that are missing. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from './errors.ts';

/**
 * One after the other: `recursive` of Node has ENOENT in the place of most errors, and never returns where a directory is
 * there and takes no other, as those of /proc.
 *
 * @param mode of each that is made, before the umask
 * @returns the first that was made; undefined when all were there
 * @throws the system's error of the one that cannot be made
 */
export function makeDirectory(path: string, mode: number = 0o777): string | undefined {
  const missing: string[] = [];
  for (let at = path; !existsSync(at); at = dirname(at)) missing.unshift(at);
  if (missing.length === 0) makeOne(path, mode); // if it is no directory, that is the error
  for (const directory of missing) makeOne(directory, mode);
  return missing[0];
}

function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const isThere = error instanceof Error && errorCode(error) === 'EEXIST';
    // Of a symbolic link that leads nowhere it is this that throws.
    if (!isThere || !statSync(path).isDirectory()) throw error;
  }
}
