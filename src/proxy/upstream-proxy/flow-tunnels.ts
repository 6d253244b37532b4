/** Connections to networks that lead through servers on Unix sockets of the host, as VPNKit's `--forwards` does it. */
import type { IpAddress } from '../../base/ip-address.ts';
import type { ConnectOptions } from '../../native/stream/connect-stream.ts';
import type { ConnectOwner } from '../../native/stream/host-stream.ts';
import { isInside, type Prefix } from '../../services/address-text.ts';
import { VpnkitTunnel } from '../../services/upstream-proxy/vpnkit-tunnel.ts';
import type { TunnelChoice } from '../flows/proxied-destinations.ts';
import type { DirectVia } from '../flows/via.ts';
import { HostLookup } from '../host-lookup.ts';
import { ProxyDial, type ProxyDialDeps } from './proxy-dial.ts';

export const TUNNELS_MAX = 512;

export interface FlowTunnel {
  readonly to: Prefix;
  /** 0: any. */
  readonly port: number;
  /** Of the server's socket. */
  readonly path: string;
}

export class FlowTunnels implements TunnelChoice {
  private readonly tunnels: readonly FlowTunnel[];
  private readonly deps: ProxyDialDeps;

  private constructor(tunnels: readonly FlowTunnel[], options: ConnectOptions) {
    this.tunnels = tunnels;
    this.deps = { options, names: new HostLookup() };
  }

  /** @returns `used` is undefined where there are none; `left`: those that there is no room for */
  static of(
    tunnels: readonly FlowTunnel[],
    options: ConnectOptions,
  ): { readonly used: FlowTunnels | undefined; readonly left: readonly FlowTunnel[] } {
    const used = tunnels.slice(0, TUNNELS_MAX);
    return {
      used: used.length === 0 ? undefined : new FlowTunnels(used, options),
      left: tunnels.slice(TUNNELS_MAX),
    };
  }

  /** The first that the destination is one of. */
  viaTo(address: IpAddress, port: number): DirectVia | undefined {
    const tunnel = this.tunnels.find(
      (one) => (one.port === 0 || one.port === port) && isInside(one.to, address),
    );
    if (tunnel === undefined) return undefined;
    const { path } = tunnel;
    const target = { host: address.toString(), port };
    return {
      waitsForGuest: false,
      proxy: `unix:${path}`,
      connect: (owner: ConnectOwner) =>
        new ProxyDial(this.deps, { path }, new VpnkitTunnel(target), owner),
    };
  }
}
