import type { PublishedPort } from '../../proxy/ports/port-table.ts';
import type { PortView } from '../network-view.ts';

/** What an agent dials where no address is given: its own loopback. */
const LOOPBACK_TEXT = '127.0.0.1';

/** A published port as the API shows it. */
export function portView(port: PublishedPort): PortView {
  const isUnix = port.protocol === 'unix';
  const { owner } = port;
  const isDialledByAgent = port.useAgent && port.guestPath === undefined;
  return {
    id: port.id,
    protocol: port.protocol,
    hostAddress: isUnix ? null : (port.hostAddress?.toString() ?? '*'),
    hostPort: isUnix ? null : port.hostPort,
    hostPath: isUnix ? port.hostPath : null,
    guestAddress: port.guestAddress?.toString() ?? (isDialledByAgent ? LOOPBACK_TEXT : null),
    guestPort: port.guestPath === undefined ? port.guestPort : null,
    guestPath: port.guestPath ?? null,
    via: port.useAgent ? 'mux' : 'net',
    sourceAddress: port.effectiveSource,
    proxyProtocol: port.proxyProtocol ?? null,
    lease: port.leased ? 'connection' : null,
    annotation: port.annotation ?? null,
    owner: typeof owner === 'string' ? owner : owner.guest.toString(),
    active: port.active,
  };
}
