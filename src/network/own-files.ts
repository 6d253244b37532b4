/** Locations of hawser's own files, for a program that starts or reads another. */

/** Set by the bundler (`tools/bundle.ts`). */
declare const HAWSER_VERSION: string | undefined;
/** Defined in a program that is one file (`boot/program-file.ts`). */
declare const importFile: ((url: string) => Promise<unknown>) | undefined;

/** The version, where this is a bundle. */
export const bundledVersion: string | undefined =
  typeof HAWSER_VERSION === 'string' ? HAWSER_VERSION : undefined;

/** A bundle is in `dist/bin` or `dist/lib`; this module, compiled, in `dist/src/network`. Others' bundles of it may have no URL. */
const dist = (): URL => new URL(bundledVersion === undefined ? '../../' : '../', import.meta.url);

/** @param path from `dist`, where the build puts everything */
export const distFile = (path: string): URL => new URL(path, dist());

/** A module that is not part of a bundle. */
export const importOwn = (file: URL): Promise<unknown> =>
  typeof importFile === 'function' ? importFile(file.href) : import(file.href);
