import { loadPosix } from '../native/load.ts';
import { VNET_HDR_LEN } from '../native/vnet-header.ts';
import { FdLink } from './fd-link.ts';
import type { LinkContext } from './link-context.ts';

/**
 * A guest behind a packet socket, such as one end of a veth pair, for environments that allow no TAP.
 *
 * @param fd non-blocking; it belongs to the link from now on
 * @param vnetHdr the socket was opened with virtio-net headers. Without them the guest's end must
 *   not leave checksums and segmentation to the device (`ethtool -K IF tx off tso off gso off`)
 */
export function openPacketLink(
  fd: number,
  vnetHdr: boolean,
  description: string,
  context: LinkContext,
): FdLink {
  const posix = loadPosix(`open ${description}`);
  return new FdLink({ posix, fd, vnetHdrLen: vnetHdr ? VNET_HDR_LEN : 0, description }, context);
}
