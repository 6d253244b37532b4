/** The fixed IPv6 header (RFC 8200 §3). Offsets are from its first byte. */
const PAYLOAD_LENGTH = 4;

export const IPV6_HEADER_LEN = 40;

/** Bytes after the fixed header, extension headers included. */
export const setIpv6PayloadLength = (view: DataView, off: number, len: number): void =>
  view.setUint16(off + PAYLOAD_LENGTH, len);
