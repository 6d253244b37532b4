/**
 * Files that users name. A name may lead to anything: opening a FIFO waits for its writer and deafens the process to
 * every signal, and a device may never end. Regular files only, and only so much of them.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { devNull } from 'node:os';

const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
export const SMALL_FILE_MAX: number = 1 << 20;
const CHUNK = 1 << 16;

export class FileKindError extends Error {
  readonly code = 'ERR_HAWSER_FILE_KIND';
}

export class FileSizeError extends Error {
  readonly code = 'ERR_HAWSER_FILE_SIZE';
}

/** @throws FileKindError that says what `path` is instead */
export function requireRegular(path: string, stats: Stats): void {
  if (stats.isFile()) return;
  throw new FileKindError(`${path} is ${kindOf(stats)}: name a regular file`);
}

/** @throws FileKindError, FileSizeError, or the system's error */
export function readSmallFile(path: string, maxBytes: number = SMALL_FILE_MAX): string {
  requireRegular(path, statSync(path)); // a device is not even opened
  const fd = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  try {
    requireRegular(path, fstatSync(fd));
    const chunks: Buffer[] = [];
    for (let len = 0; ; ) {
      const chunk = Buffer.allocUnsafe(CHUNK);
      const n = readSync(fd, chunk);
      if (n === 0) return Buffer.concat(chunks).toString('utf8');
      len += n;
      if (len > maxBytes) {
        throw new FileSizeError(
          `${path} is larger than ${maxBytes >> 20} MiB: is it the right file?`,
        );
      }
      chunks.push(chunk.subarray(0, n));
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * For files that are only read, never replaced: the null device is an empty one.
 *
 * @throws as `readSmallFile`
 */
export const readOrEmpty = (path: string, maxBytes: number): string =>
  isNullDevice(statSync(path)) ? '' : readSmallFile(path, maxBytes);

export const isNullDevice = (stats: Stats): boolean =>
  stats.isCharacterDevice() && stats.rdev === statSync(devNull).rdev;

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}
