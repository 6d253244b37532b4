import { bindLibc, type NativeHost, THIS_HOST } from './libc.ts';
import { LinuxPosix } from './linux.ts';
import type { Posix } from './posix.ts';

let loaded: Posix | undefined;

/** The calls that {@link loadPosix} has loaded, if any: for code that is faster with native calls but works without. */
export const loadedPosix = (): Posix | undefined => loaded;

/**
 * @param wanted the purpose, for the error message: `open TAP tap0`
 * @param instead what works without them, for the same: `use a qemu: link instead`
 * @throws NativeUnavailableError without koffi, or when this is not Linux on x64 or arm64
 */
export function loadPosix(
  wanted = 'make native calls',
  instead = '',
  host: NativeHost = THIS_HOST,
): Posix {
  if (host !== THIS_HOST) return new LinuxPosix(bindLibc(wanted, instead, host));
  loaded ??= new LinuxPosix(bindLibc(wanted, instead, host));
  return loaded;
}
