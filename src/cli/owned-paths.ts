/**
 * Sockets and files of ours in the file system, and the directories made for them, for every end of the daemon: also
 * for those that leave no time for a clean close, a hard exit or an uncaught exception. A path is removed only while
 * it is still the very file that we made, a directory only when nothing is left in it.
 */
import { rmSync } from 'node:fs';
import { fileIdentity } from '../native/file-identity.ts';
import { MadeDirectories } from '../native/made-directories.ts';

export class OwnedPaths {
  private readonly inodes = new Map<string, string>();
  private readonly directories: MadeDirectories;

  /** @param made directories that an earlier start has made, each before its parents */
  constructor(made: readonly string[] = []) {
    this.directories = new MadeDirectories(made);
  }

  /** Remember the file at `path`, which exists now. */
  add(path: string): void {
    const id = fileIdentity(path);
    if (id !== undefined) this.inodes.set(path, id);
  }

  /** Make what is missing of the directories above `path`, for this user alone. */
  makeDirectoriesFor(path: string): void {
    this.directories.makeFor(path);
  }

  removeAll(): void {
    for (const [path, id] of this.inodes) {
      if (fileIdentity(path) === id) rmSync(path, { force: true });
    }
    this.inodes.clear();
    this.directories.remove();
  }
}
