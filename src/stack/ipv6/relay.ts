/**
 * From guest to guest through the gateway: what a guest sends to its router for an address of the prefix, since it does
 * not take the prefix for its link's (announced off-link, RFC 4861 §6.3.4), or has a default route alone. The rules of
 * the segment hold as for frames that go directly.
 */
import { copyBytes } from '../../base/copy-bytes.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { ETHERNET_HEADER_LEN, ETHERTYPE_IPV6 } from '../../wire/ethernet.ts';
import { IPV6_HEADER_LEN, IPV6_HOP_LIMIT, IPV6_MAX_PAYLOAD } from '../../wire/ipv6.ts';
import { Frame } from '../frame.ts';
import type { LinkPort } from '../link-port.ts';
import type { Neighbor } from '../neighbor.ts';

/** The segment. */
export interface FrameForwarder {
  /** Whether a frame may go to another guest; it is counted if not. */
  mayRelay(now: Instant, from: LinkPort, frame: Frame): boolean;
  forward(to: LinkPort, frame: Frame): void;
}

export class Ipv6Relay {
  private readonly segment: FrameForwarder;
  private readonly work = new Frame();
  private readonly slab: Slab = makeSlab(ETHERNET_HEADER_LEN + IPV6_HEADER_LEN + IPV6_MAX_PAYLOAD);

  constructor(segment: FrameForwarder) {
    this.segment = segment;
  }

  /** @param frame of a packet with more than one hop left; its bytes are another's, and stay as they are */
  send(now: Instant, from: LinkPort, frame: Frame, to: Neighbor): void {
    const { segment, work, slab } = this;
    const { port } = to;
    const { len } = frame;
    if (port === undefined || !segment.mayRelay(now, from, frame)) return;
    copyBytes(frame.slab.bytes, frame.off, slab.bytes, 0, len);
    const { view } = slab;
    to.emitEthernet(view, 0, ETHERTYPE_IPV6);
    const hopLimit = ETHERNET_HEADER_LEN + IPV6_HOP_LIMIT;
    view.setUint8(hopLimit, view.getUint8(hopLimit) - 1);
    work.set(slab, 0, len);
    work.checksum = frame.checksum;
    work.csumStart = frame.csumStart;
    work.csumOffset = frame.csumOffset;
    work.gsoType = frame.gsoType;
    work.gsoSize = frame.gsoSize;
    work.headerLen = frame.headerLen;
    segment.forward(port, work);
  }
}
