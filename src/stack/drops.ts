/** Why the stack drops a frame, a packet or an answer: every drop has a reason and is counted. */
import type { ArpDrop } from '../wire/arp.ts';
import type { IcmpDrop } from '../wire/icmpv4.ts';
import type { Icmpv6Drop } from '../wire/icmpv6.ts';
import type { Ipv4Drop } from '../wire/ipv4.ts';
import type { TcpDrop } from '../wire/tcp.ts';
import type { UdpDrop } from '../wire/udp.ts';
import type { OutputDrop } from './ip-output.ts';
import type { ExtensionDrop } from './ipv6/extension-headers.ts';
import type { FragmentDrop } from './reassembly.ts';
import type { PassageDrop } from './separation/passage.ts';

export type StackDrop =
  | ArpDrop
  | IcmpDrop
  | Icmpv6Drop
  | Ipv4Drop
  | TcpDrop
  | UdpDrop
  | OutputDrop
  | FragmentDrop
  | ExtensionDrop
  | TcpSegmentDrop
  | PassageDrop
  | 'frame-truncated'
  | 'frame-oversized'
  | 'frame-unknown-type'
  | 'frame-forward-failed'
  | 'frame-above-mtu'
  | 'frame-bad-offload'
  | 'frame-storm'
  | 'link-table-full'
  | 'link-listener-full'
  | 'neighbor-table-full'
  | 'dial-guest-away'
  /** No room for another datagram to wait for a neighbour, or for another neighbour in question. */
  | 'neighbor-queue-full'
  /** A datagram that waited for a neighbour gave its place to a later one. */
  | 'neighbor-queue-replaced'
  /** A datagram whose neighbour did not answer. */
  | 'neighbor-unanswered'
  | 'ipv4-too-big'
  | 'ipv4-ttl-expired'
  | 'ipv4-unknown-protocol'
  | 'ipv6-off'
  | 'ipv6-too-big'
  | 'ipv6-hop-limit-exceeded'
  | 'ipv6-beyond-scope'
  | 'ipv6-unknown-protocol'
  | 'ipv6-source-not-on-subnet'
  | 'ipv6-bad-destination'
  | 'ndp-fragmented'
  | 'ndp-not-for-us'
  | 'mld-bad-report'
  /** A link has joined more groups than there is room for: it is sent the frames of all. */
  | 'mld-group-table-full'
  | 'igmp-bad-message'
  | 'igmp-group-table-full'
  /** A packet too big that says less than every link takes (RFC 8201 §4). */
  | 'icmpv6-mtu-too-small'
  | 'icmp-not-for-us'
  /** An error about a connection of another guest. */
  | 'icmp-of-another'
  | 'icmp-error-rate-limited'
  | 'udp-no-service'
  | 'udp-group-destination'
  /** RFC 8200 §8.1: over IPv6 there must be one. */
  | 'udp-no-checksum'
  | 'udp-too-long';

/** Segments that were well formed but not acceptable, and limits of the TCP layer. */
export type TcpSegmentDrop =
  | 'tcp-group-destination'
  | 'tcp-no-connection'
  | 'tcp-out-of-window'
  | 'tcp-old-timestamp'
  | 'tcp-bad-ack'
  | 'tcp-challenged'
  | 'tcp-challenge-rate-limited'
  | 'tcp-no-memory'
  | 'tcp-too-many-holes'
  /** A range that had arrived out of order gave way for want of memory; the guest sends it again. */
  | 'tcp-reneged'
  | 'tcp-connection-table-full'
  | 'tcp-connection-evicted'
  | 'tcp-request-table-full'
  | 'tcp-request-evicted'
  | 'tcp-time-wait-evicted';
