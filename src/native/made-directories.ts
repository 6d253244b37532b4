/** Directories for hawser's sockets: created where they are missing, and removed again when they are empty. */
import { rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from './make-directory.ts';

export class MadeDirectories {
  private readonly made: string[];

  /** @param made by another start of the program, each before its parents */
  constructor(made: readonly string[] = []) {
    this.made = [...made];
  }

  /** Each before its parents. */
  get list(): readonly string[] {
    return this.made;
  }

  /** Create the missing parents of `path`, for this user only. @throws the system's error */
  makeFor(path: string): void {
    const last = dirname(path);
    const first = makeDirectory(last, 0o700);
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
    // It is not empty, or it is gone.
  }
}
