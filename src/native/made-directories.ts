/** Directories that sockets of ours need: made where they are missing, and removed again when nothing is left in them. */
import { mkdirSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';

export class MadeDirectories {
  /** Each before those above it. */
  private readonly made: string[] = [];

  /** Make what is missing above `path`, for this user alone. @throws the system's error */
  makeFor(path: string): void {
    const last = dirname(path);
    const first = mkdirSync(last, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    const made: string[] = [];
    for (let at = last; at.length >= first.length; at = dirname(at)) made.push(at);
    this.made.unshift(...made);
  }

  remove(): void {
    for (const directory of this.made.splice(0)) removeEmpty(directory);
  }
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Something is in it, or it is gone.
  }
}
