/** What is the same for all flows that are a guest's TCP connection. */
import type { Instant } from '../../base/time.ts';
import type { FlowId, TcpFlow } from '../../stack/flow.ts';
import type { FlowFacts, FlowVerdict } from './flow.ts';

export interface StreamOrigin {
  readonly openedBy: FlowFacts['openedBy'];
  readonly service?: FlowFacts['service'];
  readonly publication?: string | undefined;
  readonly dialled?: string | undefined;
  readonly insteadOf?: string | undefined;
  readonly proxy?: string | undefined;
  readonly verdict?: FlowVerdict | undefined;
}

/**
 * @param flow undefined before it is accepted
 * @param lastAt of the bytes that passed last; by default when the guest was heard
 */
export function tcpFacts(
  { guest, guestPort, remote, remotePort }: FlowId,
  { openedBy, service, publication, dialled, insteadOf, proxy, verdict }: StreamOrigin,
  flow: TcpFlow | undefined,
  lastAt?: Instant,
): FlowFacts {
  const tcp = flow?.describe();
  return {
    guest: { address: guest, port: guestPort },
    remote: { address: remote, port: remotePort },
    openedBy,
    via: 'net',
    service,
    publication,
    dialled,
    insteadOf,
    proxy,
    verdict,
    state: tcp?.state ?? 'connecting',
    bytesToHost: tcp?.bytesToHost ?? 0,
    bytesToGuest: tcp?.bytesToGuest ?? 0,
    lastAt: lastAt ?? tcp?.lastHeard ?? 0,
    tcp,
  };
}
