/** The sockets where guests and agents attach, of those that a configuration names. */
import { dirname, resolve } from 'node:path';
import { tcpPlace } from '../native/inherited-listeners.ts';
import type { NetworkConfig } from '../network/config.ts';
import { errorCode, RunError } from '../network/errors.ts';
import { listensAt, parseLinkSpec } from '../transports/link-spec.ts';
import { muxLinkListensAt, parseMuxLink } from '../transports/mux/mux-link-spec.ts';
import type { DaemonConfig } from './daemon-config.ts';

type LinkConfig = Pick<NetworkConfig, 'listen' | 'mux'>;

interface LinkSocket {
  /** As on a command line. */
  readonly option: string;
  readonly path: string;
}

/** Of TCP, as they are passed by a supervisor. */
const tcpPlaces = ({ listen }: LinkConfig): string[] =>
  listen.flatMap((text) => {
    const at = listensAt(parseLinkSpec(text));
    return at === undefined || 'path' in at ? [] : [tcpPlace(at.host, at.port)];
  });

function linkSockets({ listen, mux }: LinkConfig): LinkSocket[] {
  const sockets: LinkSocket[] = [];
  for (const text of listen) {
    const at = listensAt(parseLinkSpec(text));
    if (at !== undefined && 'path' in at) {
      sockets.push({ option: `--listen ${text}`, path: at.path });
    }
  }
  for (const text of mux.links) {
    const path = muxLinkListensAt(parseMuxLink(text));
    if (path !== undefined) sockets.push({ option: `--mux ${text}`, path });
  }
  return sockets;
}

export const linkPaths = (config: LinkConfig): string[] =>
  linkSockets(config).map(({ path }) => path);

function placesOfApi({ api }: Pick<DaemonConfig, 'api'>): string[] {
  if (api.kind === 'unix') return [api.path];
  return api.kind === 'tcp' ? [tcpPlace(api.address, api.port)] : [];
}

/** Where links and the API listen, of all the places that a supervisor may do that for us. */
export function listeningPlaces(config: LinkConfig & Pick<DaemonConfig, 'api'>): string[] {
  const paths = linkPaths(config).map((path) => resolve(path));
  return [...paths, ...tcpPlaces(config), ...placesOfApi(config)];
}

/**
 * @param makeFor makes the missing directories above a path
 * @throws RunError that names the option
 */
export function makeSocketDirectories(
  config: LinkConfig & Pick<DaemonConfig, 'api'>,
  makeFor: (path: string) => void,
): void {
  const { api } = config;
  const apis = api.kind === 'unix' ? [{ option: `--api unix:${api.path}`, path: api.path }] : [];
  for (const { option, path } of [...linkSockets(config), ...apis]) {
    try {
      makeFor(path);
    } catch (cause) {
      const what = `cannot make the directory ${dirname(path)}: ${errorCode(cause)}`;
      throw new RunError(`${option}: ${what}; make it, or choose another path`, { cause });
    }
  }
}
