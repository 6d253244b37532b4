/** The default directory of an instance's sockets. */
import { lstatSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { makeDirectory } from '../native/make-directory.ts';
import { RunError, UsageError } from '../network/errors.ts';
import { unixPathProblem } from '../transports/stream-address.ts';

export interface Place {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  /** Whether a directory exists. */
  exists(path: string): boolean;
}

export const realPlace = (): Place => ({
  env: process.env,
  uid: process.getuid?.() ?? 0,
  exists: (path) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false,
});

/** Of the user that the process becomes: the variable is that of whoever starts it. */
export const placeOfUser = (place: Place, uid: number): Place => ({
  ...place,
  uid,
  env: { ...place.env, XDG_RUNTIME_DIR: undefined },
});

/** The user's runtime directory: not created here. One that is relative counts as none (XDG Base Directory Specification). */
export function runtimeDir(place: Place): string {
  const { XDG_RUNTIME_DIR: configured } = place.env;
  if (configured !== undefined && isAbsolute(configured)) return configured;
  const usual = `/run/user/${place.uid}`;
  return place.exists(usual) ? usual : join(tmpdir(), `hawser-${place.uid}`);
}

/** The directory of instance `name`. */
export const instanceDir = (place: Place, name: string): string =>
  join(runtimeDir(place), 'hawser', name);

/**
 * The path of a Unix socket in the directory of an instance.
 *
 * @param option by which another place is chosen
 * @throws UsageError where it is too long for one
 */
export function instanceSocket(dir: string, file: string, option: string): string {
  const path = join(dir, file);
  const why = unixPathProblem(path);
  if (why === undefined) return path;
  throw new UsageError([`${path} ${why}, by XDG_RUNTIME_DIR or --name, or say ${option}`]);
}

/** Make the instance's directory and those above it, for this user alone. @throws RunError */
export function makeInstanceDir(place: Place, name: string): void {
  makeDirectory(instanceDir(place, name), 0o700);
  checkRuntimeDir(place);
}

/**
 * After directories were made in it.
 *
 * @throws RunError when the one under the shared temporary directory belongs to somebody else: they
 *   could put sockets of theirs in it
 */
export function checkRuntimeDir(place: Place): void {
  const top = runtimeDir(place);
  if (!place.exists(top)) return; // every socket is elsewhere
  if (dirname(top) !== tmpdir()) return; // the system's or the user's own choice
  const stat = lstatSync(top);
  if (!stat.isDirectory() || stat.uid !== place.uid || (stat.mode & 0o022) !== 0) {
    throw new RunError(
      `${top} must be a directory that only this user can write to: remove it, or set XDG_RUNTIME_DIR to a private directory`,
    );
  }
}

/** Remove the directory of an instance whose name nobody else uses, unless something is in it. */
export function removeInstanceDir(place: Place, name: string): void {
  try {
    rmdirSync(instanceDir(place, name));
  } catch {
    // Not empty: its contents are not ours.
  }
}
