/** Who is in the network: which guest is meant where none was named, and connections from the gateway to guests. */
import type { IpAddress } from '../base/ip-address.ts';
import type { Clock } from '../base/time.ts';
import { parseAddress } from '../services/address-text.ts';
import type { DhcpServer } from '../services/dhcp/server.ts';
import type { FlowId, TcpFlow, TcpFlowHandler } from '../stack/flow.ts';
import type { Stack } from '../stack/stack.ts';

/** Ports of the gateway's that its own connections to guests come from. */
const FIRST_PORT = 49_152;
const LAST_PORT = 65_535;

export interface GuestsDeps {
  readonly stack: () => Stack;
  readonly dhcp: DhcpServer;
  readonly gateway: IpAddress;
  readonly clock: Pick<Clock, 'now'>;
}

export class Guests {
  private readonly deps: GuestsDeps;
  private nextPort = FIRST_PORT;

  constructor(deps: GuestsDeps) {
    this.deps = deps;
  }

  /**
   * Who a publication without a guest address is for: the lowest address that is attached, or else
   * leased; a guest that has said nothing since its lease is asked for when it is dialled.
   */
  first(): IpAddress | undefined {
    let first: IpAddress | undefined;
    this.deps.stack().forEachNeighbor((neighbor) => {
      if (neighbor.port === undefined) return;
      if (first === undefined || neighbor.address.d >>> 0 < first.d >>> 0) first = neighbor.address;
    });
    return first ?? this.firstLeased();
  }

  private firstLeased(): IpAddress | undefined {
    const { dhcp, clock } = this.deps;
    let first: IpAddress | undefined;
    for (const { address, state } of dhcp.leases(clock.now(), Date.now())) {
      const leased = state === 'bound' ? parseAddress(address) : undefined;
      if (leased === undefined) continue;
      if (first === undefined || leased.d >>> 0 < first.d >>> 0) first = leased;
    }
    return first;
  }

  /** Of the next connection from the gateway to `guest`. */
  flowTo(guest: IpAddress, guestPort: number): FlowId {
    const remotePort = this.nextPort;
    this.nextPort = remotePort === LAST_PORT ? FIRST_PORT : remotePort + 1;
    return { guest, guestPort, remote: this.deps.gateway, remotePort };
  }

  /** Connect to a port of the first guest. */
  dialFirst(guestPort: number, handler: TcpFlowHandler): TcpFlow | undefined {
    const guest = this.first();
    if (guest === undefined) return undefined;
    return this.deps.stack().dial(this.deps.clock.now(), this.flowTo(guest, guestPort), handler);
  }
}
