/** How packets of IPv6 are headed (RFC 8200): no router cuts one, and what is too long has fragment headers from here. */
import { ETHERTYPE_IPV6 } from '../../wire/ethernet.ts';
import {
  emitIpv6,
  emitIpv6Fragment,
  IPV6_FRAGMENT_LEN,
  IPV6_HEADER_LEN,
  PROTOCOL_FRAGMENT,
} from '../../wire/ipv6.ts';
import type { Ends, IpFamily, Piece } from '../ip-family.ts';

export const HOP_LIMIT = 64;

class Ipv6Family implements IpFamily {
  readonly etherType = ETHERTYPE_IPV6;
  readonly gsoType = 'tcp6';
  readonly headerLen = IPV6_HEADER_LEN;
  readonly defaultMss = 1220;
  readonly fragmentHeaderLen = IPV6_FRAGMENT_LEN;

  emit(view: DataView, off: number, ends: Ends, protocol: number, l4Len: number): void {
    const { source, neighbor, flowLabel } = ends;
    emitIpv6(view, off, source, neighbor.address, protocol, HOP_LIMIT, l4Len, flowLabel);
  }

  emitPiece(
    view: DataView,
    off: number,
    ends: Ends,
    protocol: number,
    len: number,
    { identification, at, more }: Piece,
  ): void {
    if (at === 0 && !more) {
      this.emit(view, off, ends, protocol, len); // no atomic fragments (RFC 8021)
      return;
    }
    this.emit(view, off, ends, PROTOCOL_FRAGMENT, IPV6_FRAGMENT_LEN + len);
    emitIpv6Fragment(view, off + IPV6_HEADER_LEN, protocol, identification, at, more);
  }
}

export const IPV6: IpFamily = new Ipv6Family();
