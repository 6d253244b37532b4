/**
 * A program as the build leaves it (`tools/bundle.ts`): one file with all of its modules, and beside it V8's code
 * cache, what V8 had compiled when the program was ready. Reading and compiling the modules takes longer than all
 * else that `hawser run` does until then.
 *
 * V8 takes the cache only if it made it: the same version, started with the same flags. Otherwise, and without one,
 * the program starts as it would anyhow. It compares no more of the program than its length, so the build makes both:
 * after editing a built program by hand, remove its cache.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Script } from 'node:vm';

export interface LoadedProgram {
  /** Undefined where there is no cache. */
  readonly cacheAccepted: boolean | undefined;
  /** @param name of the program in it */
  run(name: string): void;
  /** With all that has been compiled so far. */
  makeCache(): Uint8Array;
}

export const cachePath = (path: string): string => `${path}.cache`;

/** @param path a script whose value is a function of `require`, `__filename`, `importFile` and a name, in ASCII */
export function loadProgram(path: string): LoadedProgram {
  const cachedData = readCache(path);
  const script = new Script(readFileSync(path, 'latin1'), {
    filename: path,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  const { cachedDataRejected } = script;
  return {
    cacheAccepted: cachedDataRejected === undefined ? undefined : !cachedDataRejected,
    run: (name) => script.runInThisContext()(createRequire(path), path, importFile, name),
    makeCache: () => script.createCachedData(),
  };
}

/** What is compiled from a cache has no `import()`. */
const importFile = (url: string): Promise<unknown> => import(url);

function readCache(path: string): Buffer | undefined {
  try {
    return readFileSync(cachePath(path));
  } catch {
    return undefined; // it does without
  }
}
