/** IPv6 of the stack, put together: what is there only where guests have IPv6. */
import type { Counters } from '../../base/counters.ts';
import { type IpAddress, setWords } from '../../base/ip-address.ts';
import type { Instant } from '../../base/time.ts';
import type { Mac } from '../../wire/mac.ts';
import type { StackDrop } from '../drops.ts';
import type { Upstream } from '../flow.ts';
import type { IcmpErrors } from '../icmp-sender.ts';
import type { IpOutput } from '../ip-output.ts';
import type { LinkPort } from '../link-port.ts';
import type { NeighborTable } from '../neighbor.ts';
import type { OwnIpv6 } from '../own-addresses.ts';
import type { Packet } from '../packet.ts';
import type { TcpErrorSink } from '../path-errors.ts';
import type { Reassembler } from '../reassembly.ts';
import type { AddressBindings } from '../separation/address-bindings.ts';
import type { SegmentRules } from '../separation/segment-rules.ts';
import type { UpperLayers } from '../upper-layers.ts';
import { Dhcpv6Layer, type Dhcpv6Responder } from './dhcp.ts';
import { Icmpv6Input } from './icmp-input.ts';
import { Icmpv6Output } from './icmp-output.ts';
import { Ipv6Input } from './input.ts';
import { MldLayer } from './mld.ts';
import { NdpLayer, type NdpLayerDeps, type NdpWriter, type RouterService } from './ndp.ts';
import { type FrameForwarder, Ipv6Relay } from './relay.ts';

/** The gateway's addresses; its link-local one is made from its Ethernet address. */
export type Ipv6Config = Omit<OwnIpv6, 'linkLocal'>;

export interface Ipv6LayerDeps extends Pick<NdpLayerDeps, 'onTentative'> {
  readonly own: OwnIpv6;
  readonly mac: Mac;
  readonly mtu: number;
  readonly verifyChecksums: boolean;
  readonly rules: SegmentRules;
  readonly segment: FrameForwarder;
  /** The link of a number, while it is attached. */
  readonly portOf: (link: number) => LinkPort | undefined;
  /** See {@link MldLayer}. */
  readonly onOldReport: () => void;
  readonly bindings: AddressBindings;
  readonly out: IpOutput;
  readonly icmpErrors: IcmpErrors;
  readonly drops: Counters<StackDrop>;
  readonly neighbors: NeighborTable;
  readonly reassembler: Reassembler;
  readonly packet: Packet;
  readonly upper: UpperLayers;
  readonly upstream: Upstream;
  readonly tcp: TcpErrorSink;
}

export class Ipv6Layer {
  readonly own: OwnIpv6;
  readonly icmp: Icmpv6Output;
  readonly ndp: NdpLayer;
  readonly mld: MldLayer;
  readonly dhcp: Dhcpv6Layer;
  readonly input: Ipv6Input;
  private readonly deps: Ipv6LayerDeps;

  constructor(deps: Ipv6LayerDeps) {
    const { own, out, icmpErrors, drops, upstream, tcp } = deps;
    this.own = own;
    this.deps = deps;
    this.icmp = new Icmpv6Output({ out, errors: icmpErrors, drops }, own);
    this.ndp = new NdpLayer(deps);
    this.mld = new MldLayer(deps);
    this.dhcp = new Dhcpv6Layer(own, out, drops);
    const { icmp: output, ndp, mld } = this;
    const icmpInput = new Icmpv6Input({ output, out, ndp, mld, tcp, upstream, drops });
    const relay = new Ipv6Relay(deps.segment);
    this.input = new Ipv6Input({ ...deps, icmp: this.icmp, icmpInput, relay });
  }

  /** Advertisements are sent by `sendAdvertisement`, to whom `router` wishes. */
  serveRouter(router: RouterService): void {
    this.ndp.router = router;
  }

  serveDhcp(responder: Dhcpv6Responder): void {
    this.dhcp.serve(responder);
  }

  sendAdvertisement(link: number, to: IpAddress, mac: Mac, write: NdpWriter): void {
    const port = this.deps.portOf(link);
    if (port !== undefined) this.ndp.sendAsRouter(port, to, mac, write);
  }

  /** `address` was leased to the station `mac` on the link of `port`: it is reached there, and is nobody else's. */
  assign(now: Instant, port: LinkPort, mac: Mac, address: IpAddress): void {
    const { bindings, neighbors, drops } = this.deps;
    setWords(bindings.key, address);
    bindings.assign(port.addresses, 'other', mac);
    const neighbor = neighbors.obtain(now, address);
    if (neighbor === undefined) drops.add('neighbor-table-full');
    else neighbors.learn(now, neighbor, mac, port);
  }
}
