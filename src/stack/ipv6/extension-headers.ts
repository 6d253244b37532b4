/**
 * The extension headers of a packet for us (RFC 8200 §4): what is skipped, what is refused, and how.
 *
 * Hop-by-hop options come first or not at all; the others may come in any order, each kind as often as the chain's limit
 * lets it. Authentication and mobility headers are not known here: whoever sends them hears so.
 */
import { PROBLEM_FIELD, PROBLEM_NEXT_HEADER, PROBLEM_OPTION } from '../../wire/icmpv6.ts';
import {
  extensionLen,
  IPV6_FRAGMENT_LEN,
  IPV6_HEADER_LEN,
  IPV6_NEXT_HEADER,
  ipv6FragmentMore,
  ipv6FragmentOffset,
  ipv6NextHeader,
  ipv6PayloadLength,
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_FRAGMENT,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_NONE,
  PROTOCOL_ROUTING,
} from '../../wire/ipv6.ts';

const MAX_HEADERS = 9;
const SEGMENTS_LEFT = 3;
const PAD1 = 0;
/** What the highest bits of an option's type ask for (RFC 8200 §4.2). */
const DISCARD = 1;
const REPORT_UNICAST = 3;

export type ExtensionDrop =
  | 'ipv6-too-many-headers'
  | 'ipv6-incomplete-headers'
  | 'ipv6-bad-header-order'
  | 'ipv6-unknown-option'
  | 'ipv6-routing-header'
  | 'ipv6-nested-fragment'
  | 'ipv6-no-next-header';

/** The way through the headers of one packet. One record, filled anew for each. */
export class ExtensionHeaders {
  /** Of the upper layer, or of the first fragment header. */
  protocol = 0;
  off = 0;
  /** Where in the packet the number stands that says so. */
  pointerToProtocol = 0;
  /** There was a fragment header, be it of the only fragment. */
  isFragment = false;
  /** Of a drop: the code of the parameter problem to be reported; -1: none. */
  problem = -1;
  /** What the report points at, from the packet's start. */
  pointer = 0;
  /** The report goes out even about a packet to a group. */
  reportsGroup = false;

  /**
   * Go through the headers up to the upper layer, or to the header of a fragment that is not alone.
   *
   * @param l3 of a header that `checkIpv6` accepted
   * @param reassembled it was put together from fragments
   */
  walk(view: DataView, l3: number, reassembled: boolean): ExtensionDrop | undefined {
    const end = l3 + IPV6_HEADER_LEN + ipv6PayloadLength(view, l3);
    let protocol = ipv6NextHeader(view, l3);
    let pointer = IPV6_NEXT_HEADER;
    let at = l3 + IPV6_HEADER_LEN;
    this.isFragment = reassembled;
    this.problem = -1;
    this.reportsGroup = false;
    for (let headers = 0; ; headers++) {
      this.protocol = protocol;
      this.off = at;
      this.pointerToProtocol = pointer;
      if (!isKnown(protocol)) {
        return protocol === PROTOCOL_NONE ? 'ipv6-no-next-header' : undefined;
      }
      if (headers === MAX_HEADERS) return 'ipv6-too-many-headers';
      const len =
        at + IPV6_FRAGMENT_LEN > end ? IPV6_FRAGMENT_LEN : extensionLen(view, at, protocol);
      if (at + len > end) return this.refuse('ipv6-incomplete-headers', PROBLEM_FIELD, at - l3);
      const isFirst = headers === 0 && !reassembled;
      const fault = this.look(view, l3, at, len, protocol, isFirst, pointer);
      if (fault !== undefined) return fault;
      if (protocol === PROTOCOL_FRAGMENT) {
        this.isFragment = true;
        const isAlone = ipv6FragmentOffset(view, at) === 0 && !ipv6FragmentMore(view, at);
        // What was put together is the packet: nobody sends pieces of pieces.
        if (!isAlone) return reassembled ? 'ipv6-nested-fragment' : undefined;
      }
      protocol = view.getUint8(at);
      pointer = at - l3;
      at += len;
    }
  }

  private look(
    view: DataView,
    l3: number,
    at: number,
    len: number,
    protocol: number,
    isFirst: boolean,
    pointer: number,
  ): ExtensionDrop | undefined {
    switch (protocol) {
      case PROTOCOL_HOP_BY_HOP:
        return isFirst
          ? this.lookAtOptions(view, l3, at, len)
          : this.refuse('ipv6-bad-header-order', PROBLEM_NEXT_HEADER, pointer);
      case PROTOCOL_DESTINATION_OPTIONS:
        return this.lookAtOptions(view, l3, at, len);
      case PROTOCOL_ROUTING:
        // RFC 5095, and RFC 8200 §4.4 of types that are not known: with nothing left it says nothing.
        return view.getUint8(at + SEGMENTS_LEFT) === 0
          ? undefined
          : this.refuse('ipv6-routing-header', PROBLEM_FIELD, at + 2 - l3);
      default:
        return undefined;
    }
  }

  private lookAtOptions(
    view: DataView,
    l3: number,
    at: number,
    len: number,
  ): ExtensionDrop | undefined {
    const end = at + len;
    for (let option = at + 2; option < end; ) {
      const type = view.getUint8(option);
      if (type === PAD1) {
        option++;
        continue;
      }
      if (option + 2 > end || option + 2 + view.getUint8(option + 1) > end) {
        return this.refuse('ipv6-unknown-option', PROBLEM_FIELD, option - l3);
      }
      const action = type >>> 6;
      if (action === DISCARD) return 'ipv6-unknown-option';
      if (action > DISCARD) {
        this.reportsGroup = action !== REPORT_UNICAST;
        return this.refuse('ipv6-unknown-option', PROBLEM_OPTION, option - l3);
      }
      option += 2 + view.getUint8(option + 1);
    }
    return undefined;
  }

  private refuse(drop: ExtensionDrop, problem: number, pointer: number): ExtensionDrop {
    this.problem = problem;
    this.pointer = pointer;
    return drop;
  }
}

function isKnown(protocol: number): boolean {
  switch (protocol) {
    case PROTOCOL_HOP_BY_HOP:
    case PROTOCOL_DESTINATION_OPTIONS:
    case PROTOCOL_ROUTING:
    case PROTOCOL_FRAGMENT:
      return true;
    default:
      return false;
  }
}
