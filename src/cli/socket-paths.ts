/** The Unix sockets where guests and agents attach, of those that a configuration names. */
import type { NetworkConfig } from '../network/config.ts';
import { listensAt, parseLinkSpec } from '../transports/link-spec.ts';
import { muxLinkListensAt, parseMuxLink } from '../transports/mux/mux-link-spec.ts';

export function linkPaths({ listen, mux }: Pick<NetworkConfig, 'listen' | 'mux'>): string[] {
  const paths: string[] = [];
  for (const text of listen) {
    const at = listensAt(parseLinkSpec(text));
    if (at !== undefined && 'path' in at) paths.push(at.path);
  }
  for (const text of mux.links) {
    const path = muxLinkListensAt(parseMuxLink(text));
    if (path !== undefined) paths.push(path);
  }
  return paths;
}
