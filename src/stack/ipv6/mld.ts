/** MLD on the segment: hears which groups guests join, and asks (RFC 3810 §5); see `joined-groups.ts`. */
import type { Counters } from '../../base/counters.ts';
import { IpAddress } from '../../base/ip-address.ts';
import { pseudoAddressSum } from '../../wire/checksum.ts';
import { ETHERNET_HEADER_LEN, ETHERTYPE_IPV6 } from '../../wire/ethernet.ts';
import { forEachJoinedGroup } from '../../wire/group-records.ts';
import { finishIcmpv6, PROTOCOL_ICMPV6 } from '../../wire/icmpv6.ts';
import { emitIpv6, IPV6_HEADER_LEN, PROTOCOL_HOP_BY_HOP } from '../../wire/ipv6.ts';
import type { Mac } from '../../wire/mac.ts';
import { emitMldQuery, MLD_QUERY_LEN, MLD_REPORT, MLDV2_REPORT } from '../../wire/mld.ts';
import type { StackDrop } from '../drops.ts';
import { ASK_INTERVAL_S } from '../joined-groups.ts';
import type { LinkPort } from '../link-port.ts';
import { emitEthernetTo } from '../neighbor.ts';
import type { OwnIpv6 } from '../own-addresses.ts';
import type { Packet } from '../packet.ts';

const ALL_NODES = new IpAddress(0xff02_0000, 0, 0, 1);
const ALL_NODES_MAC: Mac = 0x3333_0000_0001;
const ADDRESS_LEN = 16;
const MAX_RESPONSE_MS = 1000;
/** Router alert for MLD, and padding (RFC 2711, RFC 3810 §5). */
const ROUTER_ALERT = 0x0502_0000;
const PADDING = 0x0100;
const OPTIONS_LEN = 8;
const QUERY_LEN = IPV6_HEADER_LEN + OPTIONS_LEN + MLD_QUERY_LEN;

export interface MldLayerDeps {
  readonly own: OwnIpv6;
  readonly mac: Mac;
  readonly drops: Counters<StackDrop>;
  /** A host of MLDv1 reports a group for all of the segment: others keep silent (RFC 2710 §4). */
  readonly onOldReport: () => void;
}

export class MldLayer {
  private readonly deps: MldLayerDeps;
  private readonly sum: number;
  private port: LinkPort | undefined = undefined;

  constructor(deps: MldLayerDeps) {
    const { linkLocal } = deps.own;
    this.deps = deps;
    const ends = [linkLocal, ALL_NODES].flatMap(({ a, b, c, d }) => [a, b, c, d]);
    this.sum = pseudoAddressSum(Int32Array.from(ends), 0, 4, 6, PROTOCOL_ICMPV6);
  }

  /** @param packet whose sum is right */
  onMessage({ slab, l4Off, l4Len }: Packet, port: LinkPort, type: number): void {
    if (type === MLD_REPORT) this.deps.onOldReport();
    if (type !== MLDV2_REPORT) return;
    this.port = port;
    if (!forEachJoinedGroup(slab.view, l4Off, l4Len, ADDRESS_LEN, this.onJoined)) {
      this.deps.drops.add('mld-bad-report');
    }
  }

  /** Ask which groups the stations of `port` have joined. */
  ask(port: LinkPort): void {
    const { own, mac, drops } = this.deps;
    const len = ETHERNET_HEADER_LEN + QUERY_LEN;
    const off = port.writer.reserve(len);
    if (off < 0) {
      drops.add('out-link-full');
      return;
    }
    const { view } = port.writer.slab;
    const l3 = off + ETHERNET_HEADER_LEN;
    const options = l3 + IPV6_HEADER_LEN;
    const l4 = options + OPTIONS_LEN;
    emitEthernetTo(view, off, ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
    const payload = OPTIONS_LEN + MLD_QUERY_LEN;
    emitIpv6(view, l3, own.linkLocal, ALL_NODES, PROTOCOL_HOP_BY_HOP, 1, payload);
    view.setUint16(options, PROTOCOL_ICMPV6 << 8);
    view.setUint32(options + 2, ROUTER_ALERT);
    view.setUint16(options + 6, PADDING);
    emitMldQuery(view, l4, MAX_RESPONSE_MS, ASK_INTERVAL_S);
    finishIcmpv6(view, l4, MLD_QUERY_LEN, this.sum);
    port.writer.commit(len);
    port.sent(len);
  }

  private readonly onJoined = (group: number): void => {
    if (this.port?.groups.add(group) === false) this.deps.drops.add('mld-group-table-full');
  };
}
