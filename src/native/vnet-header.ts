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
export const VNET_HDR_LEN = 10;

const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const TCP_CHECKSUM = 16;

/** Nothing left to do: the frame is complete and summed. */
export function emitPlainHeader(view: DataView, off: number): void {
  view.setInt32(off, 0, true);
  view.setInt32(off + 4, 0, true);
  view.setInt16(off + 8, 0, true);
}

/** A TCP frame to be summed, and cut when `gsoSize` is not 0, by who receives it. */
export function emitTcpHeader(
  view: DataView,
  off: number,
  l4Off: number,
  l4HeaderLen: number,
  gsoSize: number,
  family: 4 | 6,
): void {
  const gsoType = gsoSize === 0 ? 0 : family === 4 ? GSO_TCPV4 : GSO_TCPV6;
  view.setUint8(off, NEEDS_CSUM);
  view.setUint8(off + 1, gsoType);
  view.setUint16(off + 2, l4Off + l4HeaderLen, true);
  view.setUint16(off + 4, gsoSize, true);
  view.setUint16(off + 6, l4Off, true);
  view.setUint16(off + 8, TCP_CHECKSUM, true);
}

/** Whether the sender vouches for the checksum: it left the sum to us, or has checked it. */
export const isSumTrusted = (view: DataView, off: number): boolean =>
  (view.getUint8(off) & (NEEDS_CSUM | DATA_VALID)) !== 0;
