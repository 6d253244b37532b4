/** The TAPs of `tap:` links, opened while this process still has the right to, and where it can start a program. */
import { loadPosix } from '../../native/load.ts';
import { type OpenedTap, takeOpenedTap } from '../../native/opened-taps.ts';
import type { Tap } from '../../native/posix.ts';
import type { NetworkConfig } from '../../network/config.ts';
import { type LinkSpec, parseLinkSpec } from '../../transports/link-spec.ts';
import { openTapTools } from './tap-tools.ts';

/** @throws RunError, PosixError, NativeUnavailableError */
export function openTaps({ listen, mtu }: Pick<NetworkConfig, 'listen' | 'mtu'>): OpenedTap[] {
  return listen.flatMap((text) => {
    const spec = parseLinkSpec(text);
    if (spec.scheme !== 'tap') return [];
    const { name, netns } = spec;
    return [{ name, netns, tap: takeOpenedTap(name, netns) ?? openTap(spec, text, mtu) }];
  });
}

function openTap(
  { name, netns }: Extract<LinkSpec, { readonly scheme: 'tap' }>,
  text: string,
  mtu: number,
): Tap {
  const posix = loadPosix(`open ${text}`, 'use a qemu: link instead');
  const options = { name, netns, vnetHdr: true, mtu };
  if (netns === undefined) return posix.openTap(options);
  const path = netns.includes('/') ? netns : `/run/netns/${netns}`;
  return posix.makeTap(openTapTools({ netns: path, userns: usernsBeside(path) }), options);
}

/** Of the process whose network namespace it is. */
const usernsBeside = (netns: string): string | undefined =>
  /^\/proc\/[^/]+\/ns\/net$/.test(netns) ? netns.replace(/net$/, 'user') : undefined;
