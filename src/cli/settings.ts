/**
 * The valid values of each option of the daemon: one schema for the command line (where every value is
 * text) and for YAML.
 */
import { NETWORK_SCHEMAS, type NetworkSettings } from '../network/network-settings.ts';
import {
  integer,
  list,
  oneOf,
  oneOfOnOff,
  type Schemas,
  text,
  textAsIs,
  yesNo,
  yesOr,
} from '../network/option-schema.ts';
import { type ApiSetting, parseApi, parseLink, parsePath } from '../network/option-values.ts';
import { bad, ok, type Parsed } from '../network/parsed.ts';
import {
  LOG_FORMATS,
  LOG_LEVELS,
  type LogFormat,
  type LogLevel,
  SANDBOX_MODES,
  type SandboxMode,
} from './daemon-config.ts';

const GUEST_TIMEOUT_MAX_S = 86_400;
const PID_MAX = 4_194_304;

export interface DaemonSettings extends NetworkSettings {
  readonly name: string | undefined;
  readonly api: ApiSetting | undefined;
  readonly apiTokenFile: string | undefined;
  readonly pidFile: string | undefined;
  readonly readyFd: number | undefined;
  readonly exitWithGuest: boolean | undefined;
  readonly guestTimeout: number | undefined;
  readonly exitWithParent: boolean | number | undefined;
  readonly exitWithReadyFd: boolean | undefined;
  readonly user: string | undefined;
  readonly sandbox: SandboxMode | undefined;
  readonly sandboxAllow: readonly string[] | undefined;
  readonly logLevel: LogLevel | undefined;
  readonly logFormat: LogFormat | undefined;
  readonly logFile: string | undefined;
}

/** The settings of one source, or of all merged; what is absent was not set. */
export type Settings = Partial<DaemonSettings>;

export function parseName(value: string): Parsed<string> {
  return /^[a-z0-9][a-z0-9._-]{0,62}$/i.test(value)
    ? ok(value)
    : bad('must be 1 to 63 letters, digits, "-", "_" or ".", the first a letter or digit');
}

const parseUser = (value: string): Parsed<string> =>
  /^[\w.@-]{1,64}\$?$/.test(value) ? ok(value) : bad('must be the name or number of a user');

export const DAEMON_SCHEMAS: Schemas<DaemonSettings> = {
  ...NETWORK_SCHEMAS,
  name: () => text(parseName),
  listen: () => list(textAsIs(parseLink), 'must name at least one link'),
  api: () => text(parseApi),
  apiTokenFile: () => text(parsePath),
  pidFile: () => text(parsePath),
  readyFd: () => integer(1, 1_048_575),
  exitWithGuest: yesNo,
  guestTimeout: () => integer(0, GUEST_TIMEOUT_MAX_S),
  exitWithParent: () => yesOr('a process id', 1, PID_MAX),
  exitWithReadyFd: yesNo,
  user: () => text(parseUser),
  sandbox: () => oneOfOnOff(SANDBOX_MODES),
  sandboxAllow: () => list(text(parsePath)),
  logLevel: () => oneOf(LOG_LEVELS),
  logFormat: () => oneOf(LOG_FORMATS),
  logFile: () => text(parsePath),
};
