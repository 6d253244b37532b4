import { openInheritedDescriptor } from './descriptor-link.ts';
import type { LinkContext, OpenLink } from './link-context.ts';
import type { LinkSpec } from './link-spec.ts';
import { BessListener } from './messages/bess-listener.ts';
import { FdSocket } from './messages/fd-socket.ts';
import { QemuDgramLink } from './messages/qemu-dgram-link.ts';
import { VfkitListener } from './messages/vfkit-listener.ts';
import { QemuConnector } from './qemu-connector.ts';
import { QemuListener } from './qemu-listener.ts';
import { openStdioLink } from './stdio-link.ts';
import { openTapLink } from './tap-link.ts';
import { VhostNetLink } from './vhost-net/vhost-net-link.ts';
import { VpnkitListener } from './vpnkit/vpnkit-listener.ts';

/**
 * Put a link into service.
 *
 * @throws LinkInUseError, LinkError, NativeUnavailableError, PosixError
 */
export async function openLink(spec: LinkSpec, context: LinkContext): Promise<OpenLink> {
  switch (spec.scheme) {
    case 'qemu':
      return await QemuListener.open(spec.address, context);
    case 'qemu-connect':
      return new QemuConnector(spec.address, context);
    case 'vpnkit':
      return await VpnkitListener.open(spec.address, context);
    case 'ws': {
      const { WsListener } = await import('./ws/ws-listener.ts');
      return await WsListener.open(spec, context);
    }
    case 'vhost-user':
      return await VhostNetLink.open(spec.path, context);
    case 'vfkit':
      return await VfkitListener.open(spec.path, context);
    case 'bess':
      return await BessListener.open(spec.path, context);
    case 'fd-socket':
      return await FdSocket.open(spec.path, context);
    case 'qemu-dgram':
      return await QemuDgramLink.open(spec.path, spec.remote, context);
    case 'tap':
      return openTapLink(spec.name, spec.netns, context);
    case 'fd':
      return openInheritedDescriptor(spec.fd, spec.framing, context);
    case 'stdio':
      return openStdioLink(context);
  }
}
