/** The sockets where guests and agents attach, of those that a configuration names. */
import { dirname, resolve } from 'node:path';
import { tcpPlace } from '../native/inherited-listeners.ts';
import type { NetworkConfig } from '../network/config.ts';
import { errorCode, RunError } from '../network/errors.ts';
import { listensAt, parseLinkSpec } from '../transports/link-spec.ts';
import { muxLinkListensAt, parseMuxLink } from '../transports/mux/mux-link-spec.ts';
import { formatStreamAddress } from '../transports/stream-address.ts';
import type { DaemonConfig } from './daemon-config.ts';
import { asGiven, given } from './given-words.ts';

type LinkConfig = Pick<NetworkConfig, 'listen' | 'mux'> & Pick<DaemonConfig, 'words'>;

interface LinkSocket {
  /** As it was given. */
  readonly option: string;
  readonly path: string;
}

/** Of TCP, as they are passed by a supervisor. */
const tcpPlaces = ({ listen }: LinkConfig): string[] =>
  listen.flatMap((text) => {
    const at = listensAt(parseLinkSpec(text));
    return at === undefined || 'path' in at ? [] : [tcpPlace(at.host, at.port)];
  });

function linkSockets({ listen, mux, words }: LinkConfig): LinkSocket[] {
  const sockets: LinkSocket[] = [];
  for (const [index, value] of listen.entries()) {
    const at = listensAt(parseLinkSpec(value));
    if (at !== undefined && 'path' in at) {
      sockets.push({ option: asGiven(words, { key: 'listen', index, value }), path: at.path });
    }
  }
  for (const [index, value] of mux.links.entries()) {
    const path = muxLinkListensAt(parseMuxLink(value));
    if (path === undefined) continue;
    sockets.push({ option: asGiven(words, { key: 'mux', index, value }), path });
  }
  return sockets;
}

/** What asked for the socket or port that another process has; undefined: it is of no link. */
export function linkOptionAt(config: LinkConfig, place: string): string | undefined {
  const { listen, words } = config;
  const socket = linkSockets(config).find(({ path }) => resolve(path) === resolve(place));
  if (socket !== undefined) return socket.option;
  const index = listen.findIndex((text) => {
    const at = listensAt(parseLinkSpec(text));
    return at !== undefined && formatStreamAddress(at) === place;
  });
  return index < 0 ? undefined : asGiven(words, { key: 'listen', index, value: listen[index] });
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
  const { api, words } = config;
  const apis =
    api.kind === 'unix'
      ? [{ option: given(words, { key: 'api' }) ?? `--api unix:${api.path}`, path: api.path }]
      : [];
  for (const { option, path } of [...linkSockets(config), ...apis]) {
    try {
      makeFor(path);
    } catch (cause) {
      const what = `cannot make the directory ${dirname(path)}: ${errorCode(cause)}`;
      throw new RunError(`${option}: ${what}; make it, or choose another path`, { cause });
    }
  }
}
