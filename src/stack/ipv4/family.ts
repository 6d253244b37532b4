/** How packets of IPv4 are headed (RFC 791). */
import { ETHERTYPE_IPV4 } from '../../wire/ethernet.ts';
import { emitIpv4, IPV4_DF, IPV4_HEADER_LEN, IPV4_MF, Ipv4Fields } from '../../wire/ipv4.ts';
import type { Ends, IpFamily, Piece } from '../ip-family.ts';

export const HOP_LIMIT = 64;

class Ipv4Family implements IpFamily {
  readonly etherType = ETHERTYPE_IPV4;
  readonly gsoType = 'tcp4';
  readonly headerLen = IPV4_HEADER_LEN;
  readonly defaultMss = 536;
  readonly fragmentHeaderLen = 0;
  private readonly fields = new Ipv4Fields();

  constructor() {
    this.fields.ttl = HOP_LIMIT;
  }

  emit(view: DataView, off: number, ends: Ends, protocol: number, l4Len: number): void {
    // RFC 6864 §4.1: an atomic datagram's identification means nothing.
    this.write(view, off, ends, protocol, l4Len, 0, IPV4_DF);
  }

  emitPiece(
    view: DataView,
    off: number,
    ends: Ends,
    protocol: number,
    len: number,
    { identification, at, more }: Piece,
  ): void {
    const fragment = (at >> 3) | (more ? IPV4_MF : 0);
    this.write(view, off, ends, protocol, len, identification & 0xffff, fragment);
  }

  private write(
    view: DataView,
    off: number,
    ends: Ends,
    protocol: number,
    len: number,
    identification: number,
    fragment: number,
  ): void {
    const { fields } = this;
    fields.totalLength = IPV4_HEADER_LEN + len;
    fields.identification = identification;
    fields.fragment = fragment;
    fields.protocol = protocol;
    fields.src = ends.source.d;
    fields.dst = ends.neighbor.address.d;
    emitIpv4(view, off, fields);
  }
}

export const IPV4: IpFamily = new Ipv4Family();
