/** What differs between the headers of IPv4 and IPv6 when a packet is sent. */
import type { IpAddress } from '../base/ip-address.ts';
import type { GsoType } from './frame.ts';

/** Where a packet goes from and to. */
export interface Ends {
  readonly source: IpAddress;
  readonly neighbor: { readonly address: IpAddress };
  /** RFC 6437: the same for all packets of a flow; 0: none. IPv4 has none. */
  readonly flowLabel: number;
}

/** A part of a packet that is sent in fragments, or that a router may cut. */
export interface Piece {
  readonly identification: number;
  /** Where it begins in the packet's payload, in bytes. */
  readonly at: number;
  /** Whether others follow. */
  readonly more: boolean;
}

export interface IpFamily {
  readonly etherType: number;
  readonly gsoType: GsoType;
  readonly headerLen: number;
  /** MSS of a TCP that names none (RFC 9293 §3.7.1). */
  readonly defaultMss: number;
  /** Of what a fragment has beside the header. */
  readonly fragmentHeaderLen: number;
  /** Write the header of a packet that nobody may cut. */
  emit(view: DataView, off: number, ends: Ends, protocol: number, l4Len: number): void;
  /**
   * Write the header of a packet in fragments, or of one that may be cut.
   *
   * @param len bytes of the piece
   */
  emitPiece(
    view: DataView,
    off: number,
    ends: Ends,
    protocol: number,
    len: number,
    piece: Piece,
  ): void;
}
