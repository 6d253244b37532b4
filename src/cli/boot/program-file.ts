/**
 * A program as the build leaves it (`tools/bundle.ts`): one file with all of its modules, and beside it V8's code
 * cache, what V8 had compiled when the program was ready. Reading and compiling the modules takes longer than all
 * else that `hawser run` does until then.
 *
 * V8 takes the cache only if it made it: the same version, started with the same flags. Otherwise, and without one,
 * the program starts as it would anyhow. It compares no more of the program than its length, so the build makes both:
 * after editing a built program by hand, remove its cache.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { Script } from 'node:vm';
import { KeptPackages } from './kept-packages.ts';

/** What a program is given. */
export interface Start {
  /** The name of the program in it. */
  readonly name: string;
  /** The process that started this one, as it was known first. */
  readonly parent: number;
  /** Run another, in the place of this one: what it has begun stays. */
  begin(file: string): void;
}

/** And what it has of where it is. */
export interface Started extends Start {
  /** Read packages that may be needed when the files beside the program are gone; see `kept-packages.ts`. */
  keepPackages(): void;
}

export interface LoadedProgram {
  /** Undefined where there is no cache. */
  readonly cacheAccepted: boolean | undefined;
  run(start: Start): void;
  /** With all that has been compiled so far. */
  makeCache(): Uint8Array;
}

export const cachePath = (path: string): string => `${path}.cache`;

/** @param path a script whose value is a function of `require`, `__filename`, `importFile` and a start, in ASCII */
export function loadProgram(path: string): LoadedProgram {
  const program = openFile(path);
  const cache = orUndefined(() => openFile(cachePath(path)));
  // One buffer for both: to touch new memory takes longer than to read into it.
  const buffer = Buffer.allocUnsafeSlow(Math.max(program.len, cache?.len ?? 0));
  const text = readInto(buffer, program).toString('latin1');
  const cachedData = cache && orUndefined(() => readInto(buffer, cache));
  const script = new Script(text, {
    filename: path,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  const { cachedDataRejected } = script;
  return {
    cacheAccepted: cachedDataRejected === undefined ? undefined : !cachedDataRejected,
    run: (start) => {
      const packages = new KeptPackages(path);
      const started: Started = { ...start, keepPackages: () => packages.keep() };
      script.runInThisContext()(packages.load, path, importFile, started);
    },
    makeCache: () => script.createCachedData(),
  };
}

/** What is compiled from a cache has no `import()`. */
const importFile = (url: string): Promise<unknown> => import(url);

interface OpenFile {
  readonly fd: number;
  readonly len: number;
}

function openFile(path: string): OpenFile {
  const fd = openSync(path, 'r');
  return { fd, len: fstatSync(fd).size };
}

/** It does without a cache that cannot be read. */
function orUndefined<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

/** And close it. @returns the part of `buffer` that it is in */
function readInto(buffer: Buffer, { fd, len }: OpenFile): Buffer {
  let at = 0;
  try {
    for (let n = -1; at < len && n !== 0; at += n) n = readSync(fd, buffer, at, len - at, null);
  } finally {
    closeSync(fd);
  }
  return buffer.subarray(0, at);
}
