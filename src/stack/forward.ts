/**
 * Frames from one guest to another.
 *
 * Most are copied as they are. A frame whose link vouched for it (virtio-net) may carry a checksum
 * that nobody has computed yet, and a TCP segment larger than the MTU: it is summed, and cut, on its
 * way to a link that does neither itself.
 */
import { copyBytes } from '../base/copy-bytes.ts';
import { seq } from '../base/seq.ts';
import type { Slab } from '../base/slab.ts';
import { pseudoAddressSum, pseudoSum, sum16 } from '../wire/checksum.ts';
import { ETHERNET_HEADER_LEN, ETHERTYPE_IPV4, etherType } from '../wire/ethernet.ts';
import {
  checkIpv4,
  emitIpv4,
  IPV4_DF,
  IPV4_HEADER_LEN,
  IPV4_MF,
  ipv4Dst,
  ipv4Fragment,
  ipv4HeaderLen,
  ipv4Identification,
  ipv4Protocol,
  ipv4Src,
  ipv4TotalLength,
  ipv4Ttl,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import {
  ACK,
  checkTcp,
  emitTcp,
  TCP_CHECKSUM_OFFSET,
  tcpAck,
  tcpDstPort,
  tcpFlags,
  tcpHeaderLen,
  tcpSeq,
  tcpSrcPort,
  tcpWindow,
} from '../wire/tcp.ts';
import {
  checkUdp,
  emitUdp,
  UDP_HEADER_LEN,
  udpDstPort,
  udpLength,
  udpSrcPort,
} from '../wire/udp.ts';
import type { LinkPort } from './link-port.ts';

const ADDRESSES = new Int32Array(8);

/** @returns whether the frame is on its way; otherwise it is to be counted as dropped */
export function forwardFrame(
  port: LinkPort,
  slab: Slab,
  off: number,
  len: number,
  trusted: boolean,
  mtu: number,
): boolean {
  const { view } = slab;
  const l3 = off + ETHERNET_HEADER_LEN;
  if (!trusted || etherType(view, off) !== ETHERTYPE_IPV4) return copyFrame(port, slab, off, len);
  if (checkIpv4(view, l3, len - ETHERNET_HEADER_LEN) !== undefined) return false;
  const whole = (ipv4Fragment(view, l3) & ~IPV4_DF) === 0;
  const l4 = l3 + ipv4HeaderLen(view, l3);
  const l4Len = ipv4TotalLength(view, l3) - ipv4HeaderLen(view, l3);
  const protocol = ipv4Protocol(view, l3);
  ADDRESSES[3] = ipv4Src(view, l3);
  ADDRESSES[7] = ipv4Dst(view, l3);
  const sum = pseudoAddressSum(ADDRESSES, 0, 4, 4, protocol);
  if (whole && protocol === PROTOCOL_TCP && checkTcp(view, l4, l4Len, -1) === undefined) {
    return forwardTcp(port, slab, off, l3, l4, l4Len, sum, mtu);
  }
  if (whole && protocol === PROTOCOL_UDP && checkUdp(view, l4, l4Len, -1) === undefined) {
    const payload = udpLength(view, l4) - UDP_HEADER_LEN;
    emitUdp(view, l4, udpSrcPort(view, l4), udpDstPort(view, l4), payload, sum);
  }
  return copyFrame(port, slab, off, len);
}

function copyFrame(port: LinkPort, slab: Slab, off: number, len: number): boolean {
  const at = port.writer.reserve(len);
  if (at < 0) return false;
  copyBytes(slab.bytes, off, port.writer.slab.bytes, at, len);
  port.writer.commit(len);
  port.sent(len);
  return true;
}

function forwardTcp(
  port: LinkPort,
  slab: Slab,
  off: number,
  l3: number,
  l4: number,
  l4Len: number,
  sum: number,
  mtu: number,
): boolean {
  const { view } = slab;
  const headerLen = tcpHeaderLen(view, l4);
  const mss = mtu - (l4 - l3) - headerLen;
  const payload = l4Len - headerLen;
  if (mss <= 0) return false;
  if (!port.writer.offload) return cutTcp(port, slab, off, l3, l4, headerLen, payload, mss, sum);
  view.setUint16(l4 + TCP_CHECKSUM_OFFSET, pseudoSum(sum, l4Len));
  const len = l4 + l4Len - off;
  const at = port.writer.reserve(len);
  if (at < 0) return false;
  copyBytes(slab.bytes, off, port.writer.slab.bytes, at, len);
  port.writer.commitOffload(len, l4 - off, headerLen, payload > mss ? mss : 0, 4);
  port.sent(len);
  return true;
}

/** What a network card does with a large segment: the same headers before every piece. */
function cutTcp(
  port: LinkPort,
  slab: Slab,
  off: number,
  l3: number,
  l4: number,
  headerLen: number,
  payload: number,
  mss: number,
  sum: number,
): boolean {
  const { view, bytes } = slab;
  const headers = l4 + headerLen - off;
  const flags = tcpFlags(view, l4);
  let sent = 0;
  do {
    const len = Math.min(payload - sent, mss);
    const at = port.writer.reserve(headers + len);
    if (at < 0) return false;
    const out = port.writer.slab;
    copyBytes(bytes, off, out.bytes, at, headers);
    copyBytes(bytes, off + headers + sent, out.bytes, at + headers, len);
    const last = sent + len === payload;
    const outL3 = at + (l3 - off);
    const outL4 = at + (l4 - off);
    setIpLength(out.view, outL3, outL4 + headerLen + len - outL3, sent / mss);
    emitTcp(
      out.view,
      outL4,
      tcpSrcPort(view, l4),
      tcpDstPort(view, l4),
      seq(tcpSeq(view, l4) + sent),
      tcpAck(view, l4),
      headerLen,
      last ? flags : flags & ACK,
      tcpWindow(view, l4),
      headerLen + len,
      sum,
      false,
    );
    port.writer.commit(headers + len);
    port.sent(headers + len);
    sent += len;
  } while (sent < payload);
  return true;
}

/** Give piece `index` its own length and identification. */
function setIpLength(view: DataView, l3: number, totalLen: number, index: number): void {
  if (ipv4HeaderLen(view, l3) === IPV4_HEADER_LEN) {
    emitIpv4(
      view,
      l3,
      totalLen,
      (ipv4Identification(view, l3) + index) & 0xffff,
      ipv4Fragment(view, l3) & ~IPV4_MF,
      ipv4Ttl(view, l3),
      ipv4Protocol(view, l3),
      ipv4Src(view, l3),
      ipv4Dst(view, l3),
    );
    return;
  }
  const headerLen = ipv4HeaderLen(view, l3);
  view.setUint16(l3 + 2, totalLen);
  view.setUint16(l3 + 10, 0);
  view.setUint16(l3 + 10, ~sum16(view, l3, headerLen) & 0xffff);
}
