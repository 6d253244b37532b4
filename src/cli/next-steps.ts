/** Printed when `hawser run` is started on a terminal: what to do next, and which ports are published. */
import type { PortView } from '../control/network-view.ts';
import { parseLinkSpec } from '../transports/link-spec.ts';
import { hostSide } from './commands/port-text.ts';

const DEVICE = '-device virtio-net-pci,netdev=n';

export interface NextSteps {
  readonly name: string;
  readonly links: readonly string[];
  readonly ports: readonly PortView[];
}

export function nextSteps({ name, links, ports }: NextSteps): string {
  const which = name === 'default' ? '' : ` --name ${name}`;
  return [
    ...links.flatMap((link) => attachText(link) ?? []),
    ...ports.map((port) => `  published: ${hostSide(port)}`),
    `  inspect: hawser status${which}, hawser flows${which}; end: Ctrl-C, or hawser stop${which}`,
    '',
  ].join('\n');
}

/** How a guest gets there; undefined where it is there already, or somebody else says so. */
function attachText(link: string): string | undefined {
  const spec = parseLinkSpec(link);
  switch (spec.scheme) {
    case 'qemu': {
      const { address } = spec;
      const where =
        'path' in address
          ? `addr.type=unix,addr.path=${address.path}`
          : `addr.type=inet,addr.host=${address.host},addr.port=${address.port}`;
      return `  attach: qemu-system-x86_64 ... -netdev stream,id=n,server=off,${where} ${DEVICE}`;
    }
    case 'vhost-user':
      return `  attach: qemu-system-x86_64 ... -chardev socket,id=c,path=${spec.path},reconnect=1 -netdev vhost-user,id=n,chardev=c ${DEVICE}`;
    case 'vfkit':
      return `  attach: vfkit ... --device virtio-net,unixSocketPath=${spec.path}`;
    case 'qemu-dgram':
      return `  attach: qemu-system-x86_64 ... -netdev dgram,id=n,local.type=unix,local.path=${spec.remote},remote.type=unix,remote.path=${spec.path} ${DEVICE}`;
    case 'bess':
    case 'fd-socket':
    case 'qemu-connect':
    case 'vpnkit':
    case 'ws':
    case 'tap':
    case 'fd':
    case 'stdio':
      return undefined;
  }
}
