/** The interface of the log. `cli/log.ts` implements it on pino; tests may record. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const ignore = (): void => {};

/** Drops everything. */
export const SILENT: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
