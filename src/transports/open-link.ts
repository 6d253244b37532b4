import type { LinkContext, OpenLink } from './link-context.ts';
import type { LinkSpec } from './link-spec.ts';
import { QemuConnector } from './qemu-connector.ts';
import { QemuListener } from './qemu-listener.ts';
import { openTapLink } from './tap-link.ts';
import { VhostNetLink } from './vhost-net/vhost-net-link.ts';

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
    case 'vhost-user':
      return await VhostNetLink.open(spec.path, context);
    case 'tap':
      return openTapLink(spec.name, spec.netns, context);
  }
}
