/** The directory that relative paths start at: it may have been deleted, and then they lead nowhere. */
import { isAbsolute, resolve } from 'node:path';

export function isDirectoryGone(): boolean {
  try {
    process.cwd();
    return false;
  } catch {
    return true;
  }
}

/** @returns why `path` leads nowhere, as the end of a sentence that begins with the path */
export const relativePathProblem = (path: string): string | undefined =>
  isAbsolute(path) || !isDirectoryGone()
    ? undefined
    : 'is relative, and the current directory is gone: choose an absolute path, or another directory to start in';

/** @throws Error that says why it leads nowhere */
export function absolute(path: string): string {
  const problem = relativePathProblem(path);
  if (problem !== undefined) throw new Error(`${path} ${problem}`);
  return resolve(path);
}
