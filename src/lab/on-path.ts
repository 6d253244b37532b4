import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The full path of a program, looked for as a shell does, and in the sbin folders. */
export function onPath(program: string): string | undefined {
  const { PATH = '' } = process.env;
  return [...PATH.split(delimiter), '/usr/sbin', '/sbin']
    .filter((dir) => dir !== '')
    .map((dir) => join(dir, program))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
