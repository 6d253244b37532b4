import type { Duplex } from 'node:stream';
import type { Log } from '../base/log.ts';
import type { ServedView } from '../control/events/served-view.ts';
import type { HostTargets } from '../proxy/address-map.ts';
import type { PortBook } from '../proxy/ports/port-table.ts';
import type { FlowTunnel } from '../proxy/upstream-proxy/flow-tunnels.ts';
import type { ZoneTable } from '../services/dns/zone-table.ts';
import type { FrameObserver } from '../transports/capture/tapped-acceptor.ts';
import type { DnsZone, NetworkConfig } from './config.ts';
import type { GatewayForward } from './gateway-forwards.ts';
import type { Attachment, StreamFraming } from './links.ts';
import type { Network } from './network-interface.ts';

/** The network as the daemon uses it. */
export interface DaemonNetwork {
  readonly view: ServedView;
  /** The published ports. */
  readonly ports: PortBook;
  /** Names of the guests' DNS beside those of the configuration, which may be added to at any time. */
  readonly recordZones: ZoneTable;
  /**
   * Attach guests by a connection to a server of this process.
   *
   * @param socket it belongs to the link from now on
   * @param server of which all connections share one part of every budget; for names too
   * @throws LinkError
   */
  attachConnection(socket: Duplex, framing: StreamFraming, server: string): Attachment;
  /**
   * Register a callback for each time the last attached guest detaches. Registered once, before the
   * event loop runs again after creation.
   */
  onLastGuestGone(callback: () => void): void;
  /**
   * Refuse guests' connections to a TCP listener of the daemon itself, the control API.
   *
   * @param address as it was bound; `0.0.0.0` and `::` stand for every address of the host
   */
  denyGuests(address: string, port: number): void;
  /**
   * Refuse guests' connections to every listener of this process, now and later, except for published ports.
   *
   * @param offered ports that guests may reach nevertheless
   */
  denyProcess(offered: readonly number[]): void;
  /**
   * Have ports of the gateway lead to the host's network: these, and no others.
   *
   * @returns those that there is no room for
   */
  forwardGateway(forwards: readonly GatewayForward[]): readonly GatewayForward[];
  /** Show the observer each frame of the links that are opened from now on. */
  observeFrames(observer: FrameObserver): void;
  /**
   * Have the host's address for guests lead to its own addresses, not to its loopback.
   *
   * @param find asked now, and whenever the host's network may have changed; undefined: it cannot be known, and what it was holds
   */
  leadHostTo(find: () => Promise<HostTargets | undefined>): Promise<void>;
  /**
   * Have guests' connections to networks lead through Unix sockets: by these, and by no others.
   *
   * @returns those that there is no room for
   */
  tunnelFlows(tunnels: readonly FlowTunnel[]): Promise<readonly FlowTunnel[]>;
  /**
   * Answer names by these zones from now on, and read the hosts file and the resolver configuration again.
   *
   * @returns what could not be read, and why
   */
  reloadNames(zones: readonly DnsZone[]): readonly string[];
  /** Open the file of the audit log anew, if there is one. @throws AuditError */
  reopenAudit(): void;
  /** Detach every guest, reset every flow, write leases, remove the links' sockets. */
  close(): Promise<void>;
}

/**
 * Start a network.
 *
 * @param beforeLinks called when all is there but the links where guests attach
 * @throws Error whose message states what failed, on what, and what to do; nothing is left behind
 */
export type OpenNetwork = (
  config: NetworkConfig,
  log: Log,
  beforeLinks?: (network: Network & DaemonNetwork) => Promise<void>,
) => Promise<DaemonNetwork>;
