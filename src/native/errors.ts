import { getSystemErrorName } from 'node:util';

/** The system's name for what failed: `ECONNREFUSED`. */
export function errorCode(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : 'EUNKNOWN';
}

/** A feature needs native calls, which are not available. Everything else works. */
export class NativeUnavailableError extends Error {
  readonly code = 'ERR_HAWSER_NATIVE_UNAVAILABLE';

  /**
   * @param wanted what was tried, e.g. `open TAP tap0`
   * @param why what is missing, and what to do about it
   */
  constructor(wanted: string, why: string, options?: ErrorOptions) {
    super(`cannot ${wanted}: ${why}`, options);
    this.name = 'NativeUnavailableError';
  }
}

/** A system call failed. `code` is the name of the errno, e.g. `EACCES`. */
export class PosixError extends Error {
  readonly code: string;
  readonly errno: number;

  /**
   * @param what the operation and its object
   * @param advice what to do, or ''
   */
  constructor(what: string, errno: number, advice = '') {
    const code = getSystemErrorName(-errno);
    super(`${what}: ${code}${advice === '' ? '' : ` (${advice})`}`);
    this.name = 'PosixError';
    this.code = code;
    this.errno = errno;
  }
}
