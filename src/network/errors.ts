/** The command line or the configuration is wrong: exit status 2. One line a problem. */
export class UsageError extends Error {
  readonly code = 'ERR_HAWSER_USAGE';

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
  }
}

/** An expected failure, fully explained by its message: exit status 1. */
export class RunError extends Error {
  readonly code = 'ERR_HAWSER_RUN';
}

/** By its code: the benchmark harness, outside the bundle, has a class of its own. */
const OF_USAGE = ['ERR_HAWSER_USAGE', 'ERR_HAWSER_OPTIONS'];

export const isUsageError = (error: unknown): boolean => OF_USAGE.includes(errorCode(error));

export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

export const errorCode = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';
