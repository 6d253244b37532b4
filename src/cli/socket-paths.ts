/** The Unix sockets where guests and agents attach, of those that a configuration names. */
import { dirname } from 'node:path';
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
