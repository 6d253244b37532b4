/**
 * The header of a virtio-vsock packet (virtio 1.2 §5.10.6), little-endian.
 *
 * | offset | field |
 * |---|---|
 * | 0 | src_cid |
 * | 8 | dst_cid |
 * | 16 | src_port |
 * | 20 | dst_port |
 * | 24 | len: of the payload |
 * | 28 | type |
 * | 30 | op |
 * | 32 | flags |
 * | 36 | buf_alloc: receive buffer of the sender |
 * | 40 | fwd_cnt: bytes that its application has taken, modulo 2^32 |
 */
export const VSOCK_HEADER_LEN = 44;

/** The host's context identifier. */
export const HOST_CID = 2;
export const TYPE_STREAM = 1;

export const OP_REQUEST = 1;
export const OP_RESPONSE = 2;
export const OP_RST = 3;
export const OP_SHUTDOWN = 4;
export const OP_RW = 5;
export const OP_CREDIT_UPDATE = 6;
export const OP_CREDIT_REQUEST = 7;

/** Flags of OP_SHUTDOWN: the sender will not receive, or not send, any more. */
export const SHUTDOWN_RECEIVE = 1;
export const SHUTDOWN_SEND = 2;

/** Longest payload that Linux accepts (VIRTIO_VSOCK_MAX_PKT_BUF_SIZE). */
export const MAX_PACKET_PAYLOAD: number = 64 << 10;

const cid = (view: DataView, off: number): number =>
  view.getUint32(off + 4, true) === 0 ? view.getUint32(off, true) : -1; // the rest is reserved

/** Identifiers of more than 32 bits, which are reserved, are -1. */
export const srcCid = (view: DataView): number => cid(view, 0);
export const dstCid = (view: DataView): number => cid(view, 8);
export const srcPort = (view: DataView): number => view.getUint32(16, true);
export const dstPort = (view: DataView): number => view.getUint32(20, true);
export const payloadLen = (view: DataView): number => view.getUint32(24, true);
export const packetType = (view: DataView): number => view.getUint16(28, true);
export const packetOp = (view: DataView): number => view.getUint16(30, true);
export const packetFlags = (view: DataView): number => view.getUint32(32, true);
export const bufAlloc = (view: DataView): number => view.getUint32(36, true);
/** As int32: it is only ever subtracted. */
export const fwdCnt = (view: DataView): number => view.getInt32(40, true);

export function emitAddresses(
  view: DataView,
  from: number,
  fromPort: number,
  to: number,
  toPort: number,
): void {
  view.setUint32(0, from, true);
  view.setUint32(4, 0, true);
  view.setUint32(8, to, true);
  view.setUint32(12, 0, true);
  view.setUint32(16, fromPort, true);
  view.setUint32(20, toPort, true);
}

/** All fields but the addresses. */
export function emitPacket(
  view: DataView,
  op: number,
  len: number,
  flags: number,
  alloc: number,
  forwarded: number,
): void {
  view.setUint32(24, len, true);
  view.setUint16(28, TYPE_STREAM, true);
  view.setUint16(30, op, true);
  view.setUint32(32, flags, true);
  view.setUint32(36, alloc, true);
  view.setInt32(40, forwarded, true);
}
