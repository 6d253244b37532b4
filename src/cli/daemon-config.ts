/** The effective configuration of the daemon: the network's, and what only a process of its own has. */
import type { ApiAddress } from '../control/control-api.ts';
import type { NetworkConfig } from '../network/config.ts';
import type { GivenWords } from './given-words.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ['pretty', 'json', 'logfmt'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export const SANDBOX_MODES = ['on', 'off', 'strict'] as const;
export type SandboxMode = (typeof SANDBOX_MODES)[number];

/** The daemon serves no control API of its own. */
export interface NoApi {
  readonly kind: 'none';
}

export interface DaemonConfig extends NetworkConfig {
  readonly name: string;
  readonly api: ApiAddress | NoApi;
  readonly pidFile: string | undefined;
  /** Readiness is one line of JSON on this descriptor. */
  readonly readyFd: number | undefined;
  readonly exitWithGuest: boolean;
  /** Seconds that the first guest has to come with `exitWithGuest`; 0: no limit. */
  readonly guestTimeoutS: number;
  /** True: end with the parent process; a number: with this one, which must be the parent. */
  readonly exitWithParent: boolean | number;
  /** End when nobody can read `readyFd` any more. */
  readonly exitWithReadyFd: boolean;
  /** Whose rights the process takes on, by name or number; undefined: as started. */
  readonly user: string | undefined;
  readonly sandbox: SandboxMode;
  /** Directories of files that are named later, by the control API. */
  readonly sandboxAllow: readonly string[];
  readonly log: LogConfig;
  /** For messages; undefined: the command line is hawser's own. */
  readonly words?: GivenWords | undefined;
}

export interface LogConfig {
  readonly level: LogLevel;
  /** Undefined: pretty on a terminal, else JSON. `logfmt`: as Go's logrus writes, `key=value`. */
  readonly format: LogFormat | undefined;
  /** Undefined: stderr. */
  readonly file: string | undefined;
}
