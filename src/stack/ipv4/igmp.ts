/** IGMP on the segment: hears which groups guests join, and asks (RFC 3376 §4, RFC 4541 §2); see `joined-groups.ts`. */
import type { Counters } from '../../base/counters.ts';
import { ETHERNET_HEADER_LEN, ETHERTYPE_IPV4 } from '../../wire/ethernet.ts';
import { forEachJoinedGroup } from '../../wire/group-records.ts';
import {
  emitIgmpQuery,
  IGMP_QUERY_LEN,
  IGMP_REPORT,
  IGMPV2_REPORT,
  IGMPV3_REPORT,
  igmpType,
  isIgmpSound,
  PROTOCOL_IGMP,
} from '../../wire/igmp.ts';
import { emitIpv4, IPV4_HEADER_LEN, Ipv4Fields, setIpv4Options } from '../../wire/ipv4.ts';
import type { Mac } from '../../wire/mac.ts';
import type { StackDrop } from '../drops.ts';
import { ASK_INTERVAL_S, ipv4GroupOf, NO_GROUP } from '../joined-groups.ts';
import type { LinkPort } from '../link-port.ts';
import { emitEthernetTo } from '../neighbor.ts';
import type { OwnIpv4 } from '../own-addresses.ts';
import type { Packet } from '../packet.ts';

const ALL_HOSTS = 0xe000_0001 | 0;
const ALL_HOSTS_MAC: Mac = 0x0100_5e00_0001;
const ADDRESS_LEN = 4;
const MAX_RESPONSE_MS = 1000;
/** RFC 2113. */
const ROUTER_ALERT = 0x9404_0000;
const OPTIONS_LEN = 4;
const QUERY_LEN = IPV4_HEADER_LEN + OPTIONS_LEN + IGMP_QUERY_LEN;

export interface IgmpLayerDeps {
  readonly own: OwnIpv4;
  readonly mac: Mac;
  readonly drops: Counters<StackDrop>;
  /** A host of an older version reports a group for all of the segment: others keep silent (RFC 2236 §3). */
  readonly onOldReport: () => void;
}

export class IgmpLayer {
  private readonly deps: IgmpLayerDeps;
  private readonly fields = new Ipv4Fields();
  private port: LinkPort | undefined = undefined;

  constructor(deps: IgmpLayerDeps) {
    this.deps = deps;
    const { fields } = this;
    fields.totalLength = QUERY_LEN;
    fields.ttl = 1;
    fields.protocol = PROTOCOL_IGMP;
    fields.src = deps.own.gateway.d;
    fields.dst = ALL_HOSTS;
  }

  onMessage({ slab, l4Off, l4Len }: Packet, port: LinkPort): void {
    const { view } = slab;
    const { drops, onOldReport } = this.deps;
    if (!isIgmpSound(view, l4Off, l4Len)) {
      drops.add('igmp-bad-message');
      return;
    }
    const type = igmpType(view, l4Off);
    if (type === IGMP_REPORT || type === IGMPV2_REPORT) onOldReport();
    if (type !== IGMPV3_REPORT) return;
    this.port = port;
    if (!forEachJoinedGroup(view, l4Off, l4Len, ADDRESS_LEN, this.onJoined)) {
      drops.add('igmp-bad-message');
    }
  }

  /** Ask which groups the stations of `port` have joined. */
  ask(port: LinkPort): void {
    const { mac, drops } = this.deps;
    const len = ETHERNET_HEADER_LEN + QUERY_LEN;
    const off = port.writer.reserve(len);
    if (off < 0) {
      drops.add('out-link-full');
      return;
    }
    const { view } = port.writer.slab;
    const l3 = off + ETHERNET_HEADER_LEN;
    emitEthernetTo(view, off, ALL_HOSTS_MAC, mac, ETHERTYPE_IPV4);
    emitIpv4(view, l3, this.fields);
    setIpv4Options(view, l3, ROUTER_ALERT);
    emitIgmpQuery(view, l3 + IPV4_HEADER_LEN + OPTIONS_LEN, MAX_RESPONSE_MS, ASK_INTERVAL_S);
    port.writer.commit(len);
    port.sent(len);
  }

  private readonly onJoined = (address: number): void => {
    const group = ipv4GroupOf(address);
    if (group === NO_GROUP) return;
    if (this.port?.groups4.add(group) === false) this.deps.drops.add('igmp-group-table-full');
  };
}
