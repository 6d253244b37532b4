import { lstatSync } from 'node:fs';

/**
 * What distinguishes the file at `path` from others that were there before: a file system reuses the numbers of inodes.
 *
 * @returns undefined where there is none
 */
export function fileIdentity(path: string): string | undefined {
  try {
    const { dev, ino, birthtimeMs } = lstatSync(path);
    return `${dev}:${ino}:${birthtimeMs}`;
  } catch {
    return undefined;
  }
}
