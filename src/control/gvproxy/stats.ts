/** The counters of `/stats`, under gVisor's names (`tcpip.Stats`), as far as hawser has the figure: those of IP are of both families. */
import type { NetworkView } from '../network-view.ts';

type StatsView = Pick<NetworkView, 'traffic' | 'counters'>;

export function gvisorStats(view: StatsView): object {
  const { framesToHost, framesToGuest, bytesToHost, bytesToGuest } = view.traffic();
  const groups = view.counters();
  const of = (group: string, name: string): number => groups[group]?.[name] ?? 0;
  const drops = Object.entries(groups['drops'] ?? {});
  const dropped = (pattern: RegExp): number =>
    drops.reduce((sum, [name, n]) => (pattern.test(name) ? sum + n : sum), 0);
  return {
    ARP: { MalformedPacketsReceived: dropped(/^arp-/) },
    BytesReceived: bytesToHost,
    BytesSent: bytesToGuest,
    DroppedPackets: dropped(/./),
    ICMP: { V4: { PacketsSent: { RateLimited: dropped(/^icmp-error-rate-limited$/) } } },
    IP: {
      Forwarding: {
        ExhaustedTTL: dropped(/^ipv(4-ttl-expired|6-hop-limit-exceeded)$/),
        PacketTooBig: dropped(/^ipv[46]-too-big$/),
      },
      InvalidDestinationAddressesReceived: dropped(/^ipv6-bad-destination$/),
      InvalidSourceAddressesReceived: dropped(/^ipv[46]-bad-source$/),
      MalformedFragmentsReceived: dropped(/^fragment-/),
      MalformedPacketsReceived: dropped(/^ipv[46]-(truncated$|bad-(?!source$|destination$))/),
    },
    NICs: {
      MalformedL4RcvdPackets: dropped(
        /^(tcp|udp|icmp|icmpv6)-(truncated|bad-(flags|length|offset))$/,
      ),
      Rx: { Bytes: bytesToHost, Packets: framesToHost },
      Tx: { Bytes: bytesToGuest, Packets: framesToGuest },
      UnknownL3ProtocolRcvdPacketCounts: { Total: dropped(/^frame-unknown-type$/) },
      UnknownL4ProtocolRcvdPacketCounts: { Total: dropped(/^ipv[46]-unknown-protocol$/) },
    },
    TCP: {
      ActiveConnectionOpenings: of('stack', 'dialed'),
      ChecksumErrors: dropped(/^tcp-bad-checksum$/),
      CurrentConnected: of('stack', 'connections') + of('stack', 'time-waits'),
      CurrentEstablished: of('stack', 'connections'),
      ForwardMaxInFlightDrop: dropped(/^tcp-request-/),
      InvalidSegmentsReceived: dropped(/^tcp-(truncated|bad-(flags|offset))$/),
      PassiveConnectionOpenings: of('stack', 'accepted'),
    },
    UDP: {
      ChecksumErrors: dropped(/^udp-bad-checksum$/),
      MalformedPacketsReceived: dropped(/^udp-(truncated|bad-length)$/),
      UnknownPortErrors: dropped(/^udp-no-service$/),
    },
  };
}
