/**
 * What each option of the daemon may be, whichever way it came: one schema for the command line (where every value is
 * text) and for YAML.
 */
import { NETWORK_SCHEMAS, type NetworkSettings } from '../network/network-settings.ts';
import {
  integer,
  list,
  oneOf,
  type Schemas,
  text,
  textAsIs,
  yesNo,
} from '../network/option-schema.ts';
import { parseLink, parsePath } from '../network/option-values.ts';
import { bad, ok, type Parsed } from '../network/parsed.ts';
import { parseEndpoint, unixPathProblem } from '../transports/stream-address.ts';
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from './daemon-config.ts';

export interface DaemonSettings extends NetworkSettings {
  readonly name: string | undefined;
  readonly api: ApiSetting | undefined;
  readonly apiTokenFile: string | undefined;
  readonly pidFile: string | undefined;
  readonly readyFd: number | undefined;
  readonly exitWithGuest: boolean | undefined;
  readonly logLevel: LogLevel | undefined;
  readonly logFormat: LogFormat | undefined;
}

/** The settings of one source, or of all merged; what is absent was not set. */
export type Settings = Partial<DaemonSettings>;

export type ApiSetting =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number };

export function parseName(value: string): Parsed<string> {
  return /^[a-z0-9][a-z0-9._-]{0,62}$/i.test(value)
    ? ok(value)
    : bad('must be 1 to 63 letters, digits, "-", "_" or ".", the first a letter or digit');
}

export function parseApi(value: string): Parsed<ApiSetting> {
  if (value.startsWith('unix:')) {
    const path = value.slice('unix:'.length);
    const problem = unixPathProblem(path);
    return problem === undefined ? ok({ kind: 'unix', path }) : bad(problem);
  }
  const endpoint = parseEndpoint(value.startsWith('tcp:') ? value.slice('tcp:'.length) : '');
  return endpoint === undefined
    ? bad('must be unix:PATH or tcp:IP:PORT')
    : ok({ kind: 'tcp', address: endpoint.host, port: endpoint.port });
}

export const DAEMON_SCHEMAS: Schemas<DaemonSettings> = {
  ...NETWORK_SCHEMAS,
  name: () => text(parseName),
  listen: () => list(textAsIs(parseLink), 'must name at least one link'),
  api: () => text(parseApi),
  apiTokenFile: () => text(parsePath),
  pidFile: () => text(parsePath),
  readyFd: () => integer(1, 1_048_575),
  exitWithGuest: yesNo,
  logLevel: () => oneOf(LOG_LEVELS),
  logFormat: () => oneOf(LOG_FORMATS),
};
