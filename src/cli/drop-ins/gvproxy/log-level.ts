import type { LogLevel } from '../../daemon-config.ts';

export const DEFAULT_LOG_LEVEL = 'info';

/** As logrus names them. */
const LEVELS: ReadonlyMap<string, LogLevel> = new Map([
  ['trace', 'debug'],
  ['debug', 'debug'],
  ['info', 'info'],
  ['warn', 'warn'],
  ['warning', 'warn'],
  ['error', 'error'],
  ['fatal', 'error'],
  ['panic', 'error'],
]);

/** @returns undefined where logrus knows of none */
export const logLevelOf = (name: string): LogLevel | undefined => LEVELS.get(name.toLowerCase());
