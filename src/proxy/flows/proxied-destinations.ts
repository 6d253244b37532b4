/** Destinations that an upstream proxy leads to, where some are in use. */
import type { IpAddress } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { Guest } from '../../stack/guest.ts';
import type { DestinationProtocol, Outside, RefusedDestination } from './destination.ts';
import type { PolicedDestinations } from './policed-destinations.ts';
import type { Refusals } from './refusals.ts';
import type { DatagramRelays, DirectVia } from './via.ts';

/** A flow that may go to `to`. */
export interface ProxyQuestion {
  readonly owner: Guest;
  readonly protocol: DestinationProtocol;
  /** As the guest knows it. */
  readonly remote: IpAddress;
  readonly port: number;
  readonly to: Outside;
  /**
   * Whether a policy allows the flow by this name too. Absent: there is no policy that forbids any.
   *
   * @returns the rule that does not
   */
  readonly objectionTo?: ((name: string) => string | undefined) | undefined;
  /** Called where a flow is ended for the name that the guest states. */
  readonly onDenied: (why: string, name: string) => void;
}

/** Upstream proxies that are in use; undefined while there are none. */
export interface ProxiesInUse {
  current: ProxyChoice | undefined;
  /** They go before them. */
  tunnels: TunnelChoice | undefined;
  relays: DatagramRelays | undefined;
}

/** Which flows go through an upstream proxy. */
export interface ProxyChoice {
  /** @returns `to` itself, or with its way; undefined: it must not go anywhere */
  choose(question: ProxyQuestion): Outside | undefined;
}

/** Which connections go through a Unix socket of the host. */
export interface TunnelChoice {
  /** @returns undefined: it has nothing to do with them */
  viaTo(address: IpAddress, port: number): DirectVia | undefined;
}

type Choices = Pick<ProxiesInUse, 'current' | 'tunnels'>;

export class ProxiedDestinations {
  private readonly proxies: Choices;
  /** Undefined where there is no policy. */
  private readonly policed: PolicedDestinations | undefined;
  private readonly refusals: Refusals;

  constructor(proxies: Choices, policed: PolicedDestinations | undefined, refusals: Refusals) {
    this.proxies = proxies;
    this.policed = policed;
    this.refusals = refusals;
  }

  /** @param to where the flow may go: it is returned where no proxy has to do with it */
  decide(
    owner: Guest,
    protocol: DestinationProtocol,
    remote: IpAddress,
    port: number,
    to: Outside,
  ): Outside | RefusedDestination {
    const { current: choice, tunnels } = this.proxies;
    if (tunnels !== undefined && protocol === 'tcp') {
      const via = tunnels.viaTo(parseAddress(to.address) ?? remote, port);
      if (via !== undefined) return { ...to, via };
    }
    if (choice === undefined) return to;
    const { policed, refusals } = this;
    const chosen = choice.choose({
      owner,
      protocol,
      remote,
      port,
      to,
      objectionTo: policed?.objectionTo(owner, protocol, remote, port, to),
      onDenied: (why, name) => policed?.denyStated(owner, protocol, remote, port, to, why, name),
    });
    return chosen ?? refusals.add(owner, protocol, 'proxied', 'refused');
  }
}
