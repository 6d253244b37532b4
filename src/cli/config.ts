/**
 * From the command line and the YAML file to the effective configuration: merge (the command line
 * wins), fill in defaults, judge the values together. All problems are reported at once.
 */
import { join, resolve } from 'node:path';
import { DEFAULT_BIND_RULES } from '../control/ports/bind-rules.ts';
import { UsageError } from '../network/errors.ts';
import type { ApiOptions, NetworkOptions } from '../network/options.ts';
import { parsePublish } from '../proxy/ports/publish-text.ts';
import { listensAt, parseLinkSpec } from '../transports/link-spec.ts';
import { muxLinkListensAt, parseMuxLink } from '../transports/mux/mux-link-spec.ts';
import { unixPathProblem } from '../transports/stream-address.ts';
import type { ConfigFile } from './config-file.ts';
import { firstUsable, isUsable, lastUsable, parseNetwork } from './ipv4-text.ts';
import { flagOf } from './option-table.ts';
import { instanceDir, type Place } from './runtime-dir.ts';
import { type ApiSetting, checkSettings, parseLink, type Settings } from './settings.ts';

const DEFAULT_SUBNET = '192.168.127.0/24';
const DEFAULT_MTU = 1_500;

/** Options as commander gives them: text, lists of text, flags; only those that were typed. */
export type CommandLine = Readonly<Record<string, unknown>>;

type Locate = (key: string, index?: number) => string;

/** @throws UsageError naming the key, the value and what is allowed */
export async function loadConfig(
  commandLine: CommandLine,
  configPath: string | undefined,
  place: Place,
): Promise<NetworkOptions> {
  if (configPath === undefined) return buildConfig(commandLine, undefined, place);
  const { readConfigFile } = await import('./config-file.ts'); // the YAML parser costs start-up time
  return buildConfig(commandLine, readConfigFile(configPath), place);
}

export function buildConfig(
  commandLine: CommandLine,
  file: ConfigFile | undefined,
  place: Place,
): NetworkOptions {
  const problems: string[] = [];
  const typed = accept(commandLine, (key) => flagOf(key), ' ', problems);
  const written =
    file === undefined
      ? {}
      : accept(file.values, (key, index) => `${file.locate(key, index)}: ${key}`, ': ', problems);
  if (problems.length > 0) throw new UsageError(problems);
  const locate: Locate = (key) => {
    if (key in commandLine) return flagOf(key);
    if (file !== undefined && key in file.values) return `${file.locate(key)}: ${key}`;
    return `${key} (default)`;
  };
  return effective({ ...written, ...typed }, locate, place);
}

function accept(
  raw: Readonly<Record<string, unknown>>,
  locate: Locate,
  separator: string,
  problems: string[],
): Settings {
  const checked = checkSettings(raw);
  if ('settings' in checked) return checked.settings;
  for (const { key, index, value, allowed } of checked.problems) {
    const where = locate(key, index);
    if (value === undefined) problems.push(`${where} ${allowed}`);
    else
      problems.push(
        `${where}${separator}${value}${allowed.startsWith('must') ? ':' : ''} ${allowed}`,
      );
  }
  return {};
}

function effective(settings: Settings, locate: Locate, place: Place): NetworkOptions {
  const name = settings.name ?? 'default';
  const dir = instanceDir(place, name);
  const subnet = settings.subnet ?? DEFAULT_SUBNET;
  const network = parseNetwork(subnet);
  if ('problem' in network)
    throw new UsageError([`${locate('subnet')} ${subnet}: ${network.problem}`]);
  const hostIp = settings.hostIp ?? lastUsable(network.value);
  const options: NetworkOptions = {
    name,
    listen: settings.listen?.map(absoluteLink) ?? [`qemu:${join(dir, 'qemu.sock')}`],
    subnet,
    gateway: settings.gateway ?? firstUsable(network.value),
    hostIp: hostIp === 'none' ? undefined : hostIp,
    mtu: settings.mtu ?? DEFAULT_MTU,
    publish: settings.publish ?? [],
    sourceAddress: settings.sourceAddress ?? 'preserve',
    mux: { links: settings.mux ?? [], allow: settings.muxAllow ?? [] },
    guestApi: {
      enabled: settings.guestApi ?? false,
      bind: settings.guestApiBind ?? DEFAULT_BIND_RULES,
    },
    dns: {
      upstreams: settings.dns,
      search: settings.dnsSearch,
      zones: settings.dnsZone ?? [],
      hostsFile: absolute(settings.hosts),
    },
    leases: { file: absolute(settings.leaseFile), static: settings.staticLease ?? [] },
    api: apiOptions(settings.api, absolute(settings.apiTokenFile), dir, locate),
    pidFile: absolute(settings.pidFile),
    readyFd: settings.readyFd,
    exitWithGuest: settings.exitWithGuest ?? false,
    log: { level: settings.logLevel ?? 'info', format: settings.logFormat },
    verifyChecksums: settings.verifyChecksums ?? true,
    busyPollUs: settings.busyPoll,
  };
  const problems = [
    ...addressProblems(options, (address) => isUsable(network.value, address), locate),
    ...pathProblems(options, locate),
  ];
  if (problems.length > 0) throw new UsageError(problems);
  return options;
}

const absolute = (path: string | undefined): string | undefined =>
  path === undefined ? undefined : resolve(path);

function absoluteLink(text: string): string {
  const spec = parseLinkSpec(text);
  return 'address' in spec && 'path' in spec.address
    ? `${spec.scheme}:${resolve(spec.address.path)}`
    : text;
}

function apiOptions(
  api: ApiSetting | undefined,
  tokenFile: string | undefined,
  dir: string,
  locate: Locate,
): ApiOptions {
  if (api === undefined) return { kind: 'unix', path: join(dir, 'api.sock') };
  if (api.kind === 'unix') return { kind: 'unix', path: resolve(api.path) };
  if (tokenFile === undefined) {
    throw new UsageError([
      `${locate('api')} is TCP: --api-token-file must name a file with the bearer token`,
    ]);
  }
  return { ...api, tokenFile };
}

function addressProblems(
  options: NetworkOptions,
  isInside: (address: string) => boolean,
  locate: Locate,
): string[] {
  const { subnet, gateway, hostIp, publish, mux, leases } = options;
  const problems: string[] = [];
  const inside = `must be inside the subnet ${subnet}, and neither its first nor its last address`;
  if (!isInside(gateway)) problems.push(`${locate('gateway')} ${gateway}: ${inside}`);
  if (hostIp !== undefined && !isInside(hostIp)) {
    problems.push(`${locate('hostIp')} ${hostIp}: ${inside}`);
  }
  if (hostIp === gateway) {
    problems.push(`${locate('hostIp')} ${hostIp}: must differ from the gateway`);
  }
  const seen = new Set<string>();
  for (const { mac, address } of leases.static) {
    const where = `${locate('staticLease')} ${mac}=${address}`;
    if (!isInside(address)) problems.push(`${where}: ${inside}`);
    if (address === gateway || address === hostIp) {
      problems.push(`${where}: must differ from the gateway and the host address`);
    }
    if (seen.has(mac) || seen.has(address)) {
      problems.push(`${where}: must not name a MAC or an address a second time`);
    }
    seen.add(mac).add(address);
  }
  for (const text of publish) {
    const guest = parsePublish(text)[0]?.guestAddress?.toString();
    if (guest === undefined) continue;
    if (guest !== gateway && guest !== hostIp && (isInside(guest) || mux.links.length > 0))
      continue;
    problems.push(
      `${locate('publish')} ${text}: the guest's address must be inside the subnet ${subnet}, and not hawser's own`,
    );
  }
  return problems;
}

/** Default and relative paths have their final length only now. */
function pathProblems({ listen, mux, api }: NetworkOptions, locate: Locate): string[] {
  const problems: string[] = [];
  const sockets: { readonly where: string; readonly path: string }[] = [];
  for (const text of listen) {
    const link = parseLink(text);
    const at = 'value' in link ? listensAt(link.value) : undefined;
    if ('problem' in link) problems.push(`${locate('listen')} ${text} ${link.problem}`);
    else if (at !== undefined && 'path' in at) {
      sockets.push({ where: locate('listen'), path: at.path });
    }
  }
  for (const text of mux.links) {
    const path = muxLinkListensAt(parseMuxLink(text));
    if (path !== undefined) sockets.push({ where: locate('mux'), path });
  }
  if (api.kind === 'unix') {
    const problem = unixPathProblem(api.path);
    if (problem !== undefined) problems.push(`${locate('api')} ${api.path} ${problem}`);
    sockets.push({ where: locate('api'), path: api.path });
  }
  const seen = new Set<string>();
  for (const { where, path } of sockets) {
    if (seen.has(path)) problems.push(`${where} ${path}: must not be used for two sockets`);
    seen.add(path);
  }
  return problems;
}
