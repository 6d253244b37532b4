/**
 * Frames of a machine whose hypervisor offers its guest checksum and segmentation offload and then throws away the header
 * that says what was left undone (libkrun): the checksum of TCP and UDP may be complete, or only the sum of the
 * pseudo-header, and a segment of TCP may be of 64 KiB. The frame does not show which.
 *
 * What was lost is made up: the checksum is taken to be undone, whatever its field holds, and a segment above the MTU
 * to be one that is to be cut to it. From there on the frame is as one of virtio-net: believed where it ends here, and
 * summed and cut on its way to another guest.
 */
import type { Frame, GsoType } from '../../stack/frame.ts';
import { fold16, sum16 } from '../../wire/checksum.ts';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, skipVlanTags } from '../../wire/ethernet.ts';
import {
  checkIpv4,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Protocol,
  ipv4TotalLength,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import {
  checkIpv6,
  IPV6_HEADER_LEN,
  IPV6_SRC,
  ipv6NextHeader,
  ipv6PayloadLength,
} from '../../wire/ipv6.ts';
import { TCP_CHECKSUM_OFFSET, TCP_HEADER_LEN, tcpHeaderLen } from '../../wire/tcp.ts';
import { UDP_CHECKSUM_OFFSET, UDP_HEADER_LEN, udpChecksum, udpLength } from '../../wire/udp.ts';

const IPV4_SRC = 12;
const IPV4_ADDRESSES_LEN = 8;
const IPV6_ADDRESSES_LEN = 32;

/** @param frame of at least an Ethernet header; what is no whole packet of TCP or UDP stays as it is */
export function markUnsummed(frame: Frame, mtu: number): void {
  const { slab, off, len } = frame;
  const { view } = slab;
  const l3 = skipVlanTags(view, off, len);
  if (l3 < 0) return;
  const avail = off + len - l3;
  const type = view.getUint16(l3 - 2);
  if (type === ETHERTYPE_IPV4) {
    if (checkIpv4(view, l3, avail) !== undefined) return;
    if ((ipv4Fragment(view, l3) & (IPV4_OFFSET_MASK | IPV4_MF)) !== 0) return;
    const headerLen = ipv4HeaderLen(view, l3);
    const addressSum = sum16(view, l3 + IPV4_SRC, IPV4_ADDRESSES_LEN);
    const l4Len = ipv4TotalLength(view, l3) - headerLen;
    mark(frame, l3 + headerLen, l4Len, ipv4Protocol(view, l3), addressSum);
    if (l4Len > mtu - headerLen) markLarge(frame, 'tcp4', mtu - headerLen);
  } else if (type === ETHERTYPE_IPV6) {
    if (checkIpv6(view, l3, avail) !== undefined) return;
    const addressSum = sum16(view, l3 + IPV6_SRC, IPV6_ADDRESSES_LEN);
    const l4Len = ipv6PayloadLength(view, l3);
    mark(frame, l3 + IPV6_HEADER_LEN, l4Len, ipv6NextHeader(view, l3), addressSum);
    if (l4Len > mtu - IPV6_HEADER_LEN) markLarge(frame, 'tcp6', mtu - IPV6_HEADER_LEN);
  }
}

/** The checksum of the upper layer at `l4` is undone. */
function mark(frame: Frame, l4: number, l4Len: number, protocol: number, addressSum: number): void {
  const { off } = frame;
  const { view } = frame.slab;
  let headerLen = UDP_HEADER_LEN;
  if (protocol === PROTOCOL_TCP) {
    if (l4Len < TCP_HEADER_LEN) return;
    headerLen = tcpHeaderLen(view, l4);
    if (headerLen < TCP_HEADER_LEN || headerLen > l4Len) return;
    frame.csumOffset = TCP_CHECKSUM_OFFSET;
  } else if (protocol === PROTOCOL_UDP) {
    if (l4Len < UDP_HEADER_LEN || udpLength(view, l4) !== l4Len) return;
    if (udpChecksum(view, l4) === 0) return; // RFC 768: the sender computed none
    frame.csumOffset = UDP_CHECKSUM_OFFSET;
  } else return;
  view.setUint16(l4 + frame.csumOffset, fold16(addressSum + protocol + l4Len));
  frame.checksum = 'partial';
  frame.csumStart = l4 - off;
  frame.headerLen = l4 - off + headerLen;
  frame.len = l4 - off + l4Len; // without padding, which is not summed
}

/** @param room for the upper layer in a packet of the MTU */
function markLarge(frame: Frame, gsoType: GsoType, room: number): void {
  if (frame.checksum !== 'partial' || frame.csumOffset !== TCP_CHECKSUM_OFFSET) return;
  frame.gsoType = gsoType;
  frame.gsoSize = room - (frame.headerLen - frame.csumStart);
}
