import { loadPosix } from '../native/load.ts';
import { takeOpenedTap } from '../native/opened-taps.ts';
import { FdLink } from './fd-link.ts';
import type { LinkContext } from './link-context.ts';

/**
 * `tap:NAME[@NETNS]`: the guest is whatever is behind a TAP device: a container's namespace,
 * Firecracker. TCP segmentation and checksums are left to the kernel, in both directions.
 *
 * @throws NativeUnavailableError, PosixError, LinkError
 */
export function openTapLink(name: string, netns: string | undefined, context: LinkContext): FdLink {
  const description = netns === undefined ? `tap:${name}` : `tap:${name}@${netns}`;
  const posix = loadPosix(`open ${description}`, 'use a qemu: link instead');
  const tap =
    takeOpenedTap(name, netns) ?? posix.openTap({ name, netns, vnetHdr: true, mtu: context.mtu });
  return new FdLink({ posix, fd: tap.fd, vnetHdrLen: tap.vnetHdrLen, description }, context);
}
