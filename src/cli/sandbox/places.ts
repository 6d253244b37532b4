/** The files that a daemon of a configuration reads and writes while it runs. */
import { lstatSync, readlinkSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { FileGrant } from '../../native/sandbox/landlock.ts';
import { parsePublish } from '../../proxy/ports/publish-text.ts';
import type { DaemonConfig } from '../daemon-config.ts';
import { linkPaths } from '../socket-paths.ts';

/** Followed live, through symbolic links that others change. */
const FOLLOWED = ['/etc/resolv.conf', '/etc/hosts', '/etc/nsswitch.conf', '/etc/localtime'];
/** Of networkd, with the name servers of links. */
const LINK_STATES = '/run/systemd/netif/links';
const LINKS_MAX = 40;
const [STDOUT, STDERR] = [1, 2];

export const socketPaths = (config: DaemonConfig): string[] => [
  ...linkPaths(config),
  ...(config.api.kind === 'unix' ? [config.api.path] : []),
];

/** Directories in which the daemon makes and removes files. */
export function writtenDirectories(config: DaemonConfig): string[] {
  const published = config.publish
    .flatMap((text) => parsePublish(text))
    .flatMap((spec) => (spec.protocol === 'unix' ? [spec.hostPath] : []));
  const { leases, pidFile, log, audit, pcapFile } = config;
  const files = [leases.file, pidFile, log.file, audit.file, pcapFile];
  const paths = [...socketPaths(config), ...published, ...files.flatMap((path) => path ?? [])];
  return [...new Set([...paths.map((path) => dirname(resolve(path))), ...config.sandboxAllow])];
}

/**
 * @param more files that are read beside those of the configuration
 * @param made directories made for sockets, each before its parents, which are removed at the end
 */
export function configuredFiles(
  config: DaemonConfig,
  more: readonly (string | undefined)[],
  made: readonly string[],
): FileGrant[] {
  const token = config.api.kind === 'tcp' ? config.api.tokenFile : undefined;
  const { hostsFile, resolvConf } = config.dns;
  const own = [config.policy.file, config.upstreamProxy.authFile];
  const files = [...more, hostsFile, resolvConf, ...own, token, ...sshKeys(config)].flatMap(
    (path) => path ?? [],
  );
  const read = [...files, ...FOLLOWED].flatMap((path) => directoriesOf(resolve(path)));
  const outermost = made.at(-1);
  return [
    ...[...read, LINK_STATES].map((path): FileGrant => ({ path, access: 'read' })),
    ...writtenDirectories(config).map((path): FileGrant => ({ path, access: 'write' })),
    ...[STDOUT, STDERR].flatMap(openedAgain),
    ...(outermost === undefined
      ? []
      : [{ path: dirname(outermost), access: 'remove-directories' } as const]),
  ];
}

const sshKeys = ({ publish }: DaemonConfig): string[] =>
  publish
    .flatMap((text) => parsePublish(text))
    .flatMap((spec) => (spec.protocol === 'unix' && spec.ssh ? [spec.ssh.keyFile] : []));

/** Of a file, and of each file that it is a symbolic link to: any of them may be replaced. */
function directoriesOf(path: string): string[] {
  const directories: string[] = [];
  let at = path;
  for (let links = 0; links < LINKS_MAX; links++) {
    const directory = dirname(at);
    if (isDevice(at)) break; // never all of them
    directories.push(directory === '/' ? at : directory); // never everything
    try {
      at = resolve(directory, readlinkSync(at));
    } catch {
      break;
    }
  }
  return directories;
}

function isDevice(path: string): boolean {
  try {
    return lstatSync(path).isCharacterDevice();
  } catch {
    return false; // it is not there yet
  }
}

/** Pipes and terminals that the log goes to are opened a second time, by their name in /proc. */
function openedAgain(fd: number): FileGrant[] {
  try {
    const path = readlinkSync(`/proc/self/fd/${fd}`);
    return statSync(path).isCharacterDevice() ? [{ path, access: 'device' }] : [];
  } catch {
    return [];
  }
}
