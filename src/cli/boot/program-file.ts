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
import { createRequire } from 'node:module';
import { Script } from 'node:vm';

/** What a program is given. */
export interface Start {
  /** The name of the program in it. */
  readonly name: string;
  /** The process that started this one, as it was known first. */
  readonly parent: number;
  /** Run another, in the place of this one: what it has begun stays. */
  begin(file: string): void;
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
  const cache = openCache(cachePath(path));
  // One buffer for both: to touch new memory takes longer than to read into it.
  const buffer = Buffer.allocUnsafeSlow(Math.max(program.len, cache?.len ?? 0));
  const text = readInto(buffer, program).toString('latin1');
  const cachedData = cache && readInto(buffer, cache);
  const script = new Script(text, {
    filename: path,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  const { cachedDataRejected } = script;
  return {
    cacheAccepted: cachedDataRejected === undefined ? undefined : !cachedDataRejected,
    run: (start) => script.runInThisContext()(createRequire(path), path, importFile, start),
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

function openCache(path: string): OpenFile | undefined {
  try {
    return openFile(path);
  } catch {
    return undefined; // it does without
  }
}

/** And close it. @returns the part of `buffer` that it is in */
function readInto(buffer: Buffer, { fd, len }: OpenFile): Buffer {
  let at = 0;
  for (let n = -1; at < len && n !== 0; at += n) n = readSync(fd, buffer, at, len - at, null);
  closeSync(fd);
  return buffer.subarray(0, at);
}
