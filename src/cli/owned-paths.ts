/**
 * Sockets and files of ours in the file system, for the ends that leave no time for a clean close: a hard exit
 * or an uncaught exception. A path is removed only while it is still the very file that we made.
 */
import { lstatSync, rmSync } from 'node:fs';

export class OwnedPaths {
  private readonly inodes = new Map<string, string>();

  /** Remember the file at `path`, which exists now. */
  add(path: string): void {
    const id = identity(path);
    if (id !== undefined) this.inodes.set(path, id);
  }

  removeAll(): void {
    for (const [path, id] of this.inodes) {
      if (identity(path) === id) rmSync(path, { force: true });
    }
    this.inodes.clear();
  }
}

function identity(path: string): string | undefined {
  try {
    const { dev, ino, birthtimeMs } = lstatSync(path);
    return `${dev}:${ino}:${birthtimeMs}`;
  } catch {
    return undefined;
  }
}
