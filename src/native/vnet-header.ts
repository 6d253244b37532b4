/**
 * struct virtio_net_hdr (virtio 1.2 §5.1.6), legacy form: 10 bytes, little-endian here. A frame
 * after ten bytes of it has its IP header on an 8-byte boundary.
 *
 * | offset | field |
 * |---|---|
 * | 0 | flags |
 * | 1 | gso_type |
 * | 2 | hdr_len: bytes of headers to repeat |
 * | 4 | gso_size: payload bytes per segment |
 * | 6 | csum_start: from the frame's start |
 * | 8 | csum_offset: from csum_start |
 */
import type { Frame, FrameWork, GsoType } from '../stack/frame.ts';

export const VNET_HDR_LEN = 10;
const CHECKSUM_LEN = 2;

const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;
/** Set beside the type of TCP segments with ECN; segmentation is the same (RFC 3168 §6.1.2). */
const GSO_ECN = 0x80;

/** No offload: the frame is complete, with its checksum. */
export function emitPlainHeader(view: DataView, off: number): void {
  view.setInt32(off, 0, true);
  view.setInt32(off + 4, 0, true);
  view.setInt16(off + 8, 0, true);
}

/** A frame whose checksum, and segmentation when `gsoSize` is not 0, are left to the receiver. */
export function emitWorkHeader(view: DataView, off: number, work: FrameWork): void {
  view.setUint8(off, NEEDS_CSUM);
  view.setUint8(off + 1, numberOf(work.gsoType));
  view.setUint16(off + 2, work.headerLen, true);
  view.setUint16(off + 4, work.gsoSize, true);
  view.setUint16(off + 6, work.csumStart, true);
  view.setUint16(off + 8, work.csumOffset, true);
}

function numberOf(type: GsoType): number {
  switch (type) {
    case 'none':
      return GSO_NONE;
    case 'tcp4':
      return GSO_TCPV4;
    case 'tcp6':
      return GSO_TCPV6;
    case 'udp':
      return GSO_UDP_L4;
  }
}

/**
 * Set the offload fields of `frame`, whose offset and length are set, from the header at `off`.
 *
 * @returns false when the header requests something unsupported: drop the frame. Offsets are as the
 * guest wrote them: the segment checks that they are inside the frame
 */
export function readVnetHeader(view: DataView, off: number, frame: Frame): boolean {
  const flags = view.getUint8(off);
  const type = view.getUint8(off + 1) & ~GSO_ECN;
  if ((flags & NEEDS_CSUM) === 0) {
    if ((flags & DATA_VALID) !== 0) frame.checksum = 'valid';
    return type === GSO_NONE; // virtio 1.2 §5.1.6.2: segmentation requires the checksum flag
  }
  frame.csumStart = view.getUint16(off + 6, true);
  frame.csumOffset = view.getUint16(off + 8, true);
  const end = frame.csumStart + frame.csumOffset + CHECKSUM_LEN;
  frame.checksum = 'partial';
  frame.headerLen = end;
  if (type === GSO_NONE) return true;
  frame.gsoSize = view.getUint16(off + 4, true);
  frame.headerLen = Math.max(end, view.getUint16(off + 2, true));
  if (type === GSO_TCPV4) frame.gsoType = 'tcp4';
  else if (type === GSO_TCPV6) frame.gsoType = 'tcp6';
  else if (type === GSO_UDP_L4) frame.gsoType = 'udp';
  else return false;
  return frame.gsoSize > 0;
}
