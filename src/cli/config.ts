/**
 * From the command line and the YAML file to the effective configuration: merge (the command line
 * wins), fill in defaults, check the values together. All problems are reported at once.
 */
import { join, resolve } from 'node:path';
import type { ApiAddress } from '../control/control-api.ts';
import {
  absolutePath,
  addressProblems,
  auditProblems,
  configuredFiles,
  configuredSockets,
  DEFAULT_NAME,
  effectiveConfig,
  ipv6Problems,
  linkProblems,
  namedFiles,
  pathProblems,
} from '../network/effective-config.ts';
import { UsageError } from '../network/errors.ts';
import { allowedLinkProblems, modeProblems } from '../network/guest-separation.ts';
import type { OptionProblem } from '../network/option-problem.ts';
import { checkSettings } from '../network/option-schema.ts';
import { decimal } from '../network/parsed.ts';
import { staticLeaseProblems } from '../network/static-leases.ts';
import { descriptorsOf, parseLinkSpec } from '../transports/link-spec.ts';
import { unixPathProblem } from '../transports/stream-address.ts';
import type { ConfigFile } from './config-file.ts';
import type { DaemonConfig, NoApi } from './daemon-config.ts';
import { asGiven, type GivenWords, given, withValue } from './given-words.ts';
import { NUMBERS } from './option-table.ts';
import { instanceDir, instanceSocket, type Place } from './runtime-dir.ts';
import { DAEMON_SCHEMAS, type DaemonSettings, type Settings } from './settings.ts';

const LARGEST = 999_999_999;
const DEFAULT_GUEST_TIMEOUT_S = 300;

/** Options as commander returns them: text, lists of text, flags; only those that were given. */
export type CommandLine = Readonly<Record<string, unknown>>;

/** A program that stands in for another one: guests attach only where it says. */
export interface StandIn {
  /** What was given for options. */
  readonly words: GivenWords;
  /** Whether it serves hawser's own control API, at its default path. */
  readonly hasApi: boolean;
}

/** What a problem's sentence begins with: the key where it was written, and the value. */
type Locate = (problem: OptionProblem) => string;

/** @throws UsageError naming the key, the value and what is allowed */
export async function loadConfig(
  commandLine: CommandLine,
  configPath: string | undefined,
  place: Place,
): Promise<DaemonConfig> {
  if (configPath === undefined) return buildConfig(commandLine, undefined, place);
  const { readConfigFile } = await import('./config-file.ts'); // the YAML parser costs start-up time
  return buildConfig(commandLine, readConfigFile(configPath), place);
}

/** @throws UsageError */
export function buildConfig(
  commandLine: CommandLine,
  file: ConfigFile | undefined,
  place: Place,
  standIn?: StandIn,
): DaemonConfig {
  const words = standIn?.words;
  const typed: Locate = (problem) => asGiven(words, problem);
  const written: Locate = (problem) => {
    const { key, index } = problem;
    return withValue(problem, `${file?.locate(key, index)}: ${key}`, ': ');
  };
  const problems: string[] = [];
  const settings = {
    ...accept(file?.values ?? {}, written, problems),
    ...accept(commandLine, typed, problems),
  };
  if (problems.length > 0) throw new UsageError(problems);
  const locate: Locate = (problem) => {
    const { key } = problem;
    if (key in commandLine) return typed(problem);
    if (file !== undefined && key in file.values) return written(problem);
    return given(words, problem) ?? withValue(problem, `${key} (default)`, ' ');
  };
  const config = effective(settings, locate, place, file?.path, standIn);
  return words === undefined ? config : { ...config, words };
}

function accept(
  raw: Readonly<Record<string, unknown>>,
  locate: Locate,
  problems: string[],
): Settings {
  const given = Object.entries(raw).map(([key, value]) => [key, numberOf(key, value)]);
  const checked = checkSettings<DaemonSettings>(Object.fromEntries(given), DAEMON_SCHEMAS);
  if ('settings' in checked) return checked.settings;
  problems.push(...checked.problems.map((problem) => sentence(problem, locate)));
  return {};
}

/** Numbers are text on a command line, and may be in YAML. */
function numberOf(key: string, value: unknown): unknown {
  if (typeof value !== 'string' || !NUMBERS.has(key)) return value;
  return decimal(value, 0, LARGEST) ?? value;
}

function sentence(problem: OptionProblem, locate: Locate): string {
  const { why } = problem;
  const colon = !('value' in problem) || /^(is|has) /.test(why) ? '' : ':';
  return `${locate(problem)}${colon} ${why}`;
}

function effective(
  settings: Settings,
  locate: Locate,
  place: Place,
  config: string | undefined,
  standIn: StandIn | undefined,
): DaemonConfig {
  const name = settings.name ?? DEFAULT_NAME;
  const dir = instanceDir(place, name);
  const listen =
    settings.listen ??
    (standIn === undefined ? [`qemu:${instanceSocket(dir, 'qemu.sock', '--listen')}`] : []);
  const network = effectiveConfig({ ...settings, listen }, name);
  const paths = [...configuredSockets(network), ...configuredFiles(network)];
  const pidFile = absolutePath(settings.pidFile);
  const logFile = absolutePath(settings.logFile);
  const api: ApiAddress | NoApi =
    standIn?.hasApi === false ? { kind: 'none' } : apiAddress(settings, dir, locate);
  const problems = [
    ...addressProblems(network),
    ...ipv6Problems(network),
    ...staticLeaseProblems(network),
    ...auditProblems(network),
    ...linkProblems(network),
    ...modeProblems(network.separation),
    ...allowedLinkProblems(network.listen, network.separation),
  ];
  if (api.kind === 'unix') {
    const why = unixPathProblem(api.path);
    if (why !== undefined) problems.push({ key: 'api', value: api.path, why });
    paths.push({ key: 'api', path: api.path });
  }
  const apiTokenFile = api.kind === 'tcp' ? api.tokenFile : undefined;
  const files = { pidFile, logFile, apiTokenFile, config: absolutePath(config) };
  problems.push(...pathProblems([...paths, ...namedFiles(files)]));
  if (settings.exitWithReadyFd === true && settings.readyFd === undefined) {
    const why = 'needs --ready-fd, the descriptor whose reader is watched';
    problems.push({ key: 'exitWithReadyFd', why });
  }
  const { readyFd } = settings;
  const isOfLink = (text: string): boolean =>
    readyFd !== undefined && descriptorsOf(parseLinkSpec(text)).includes(readyFd);
  if (network.listen.some(isOfLink)) {
    const why = 'must be a descriptor that no link has: its guest would take the line for a frame';
    problems.push({ key: 'readyFd', value: readyFd, why });
  }
  if (problems.length > 0) {
    throw new UsageError([...new Set(problems.map((problem) => sentence(problem, locate)))]);
  }
  return {
    ...network,
    name,
    api,
    pidFile,
    readyFd: settings.readyFd,
    exitWithGuest: settings.exitWithGuest ?? false,
    guestTimeoutS: settings.guestTimeout ?? DEFAULT_GUEST_TIMEOUT_S,
    exitWithParent: settings.exitWithParent ?? false,
    exitWithReadyFd: settings.exitWithReadyFd ?? false,
    user: settings.user,
    sandbox: settings.sandbox ?? 'on',
    sandboxAllow: (settings.sandboxAllow ?? []).map((path) => resolve(path)),
    log: {
      level: settings.logLevel ?? 'info',
      format: settings.logFormat,
      file: logFile,
    },
  };
}

function apiAddress({ api, apiTokenFile }: Settings, dir: string, locate: Locate): ApiAddress {
  if (api === undefined) return { kind: 'unix', path: join(dir, 'api.sock') };
  if (api.kind === 'unix') return { kind: 'unix', path: resolve(api.path) };
  const tokenFile = absolutePath(apiTokenFile);
  if (tokenFile !== undefined) return { ...api, tokenFile };
  const why = 'is TCP: --api-token-file must name a file with the bearer token';
  throw new UsageError([sentence({ key: 'api', why }, locate)]);
}
