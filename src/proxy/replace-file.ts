/** Replaces a small file atomically: a reader, or a crash, finds the old one or the new one. */
import { randomBytes } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';

/** An unpredictable name beside `path`. Create it with the flag `wx`, which follows no link. */
export const draftPath = (path: string): string => `${path}.${randomBytes(8).toString('hex')}.new`;

/** A symbolic link at `path` is replaced, not followed. @throws the system's error; no temporary file is left behind */
export function replaceFile(path: string, text: string, mode: number): void {
  const draft = draftPath(path);
  try {
    writeFileSync(draft, text, { flag: 'wx', mode });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}
