/** The counters of every part of a network, by the group that metrics show them in. */
import type { FaultWatch } from '../base/faults.ts';
import type { GuestApi } from '../control/ports/guest-api.ts';
import type { DnsForwarder } from '../proxy/dns/forwarder.ts';
import type { SshForwards } from '../proxy/ssh/ssh-forwards.ts';
import type { AuditLog } from './audit/audit-log.ts';
import type { DataPath } from './data-path.ts';
import type { makeDhcpServer } from './gateway-dhcp.ts';
import type { makeDhcpv6Server } from './gateway-dhcpv6.ts';
import type { GuestStreams } from './guest-streams.ts';
import type { ProgramGate } from './hooks/program-gate.ts';
import type { Ipv6Service } from './ipv6-service.ts';
import type { ViewParts } from './live-view.ts';
import type { MuxLinks } from './mux-links.ts';

export interface CountedParts {
  readonly dataPath: DataPath;
  readonly mux: MuxLinks;
  readonly ssh: SshForwards;
  readonly streams: GuestStreams;
  readonly faults: FaultWatch;
  readonly dhcp: ReturnType<typeof makeDhcpServer>;
  readonly dhcp6: ReturnType<typeof makeDhcpv6Server>;
  readonly dns: DnsForwarder;
  readonly router: Ipv6Service['router'];
  readonly guestApi: GuestApi | undefined;
  readonly gate: ProgramGate | undefined;
  readonly audit: AuditLog | undefined;
}

export function countGroups(parts: CountedParts): ViewParts['groups'] {
  const { dataPath, mux, ssh, streams, faults, dhcp, dhcp6, dns, router, guestApi, gate, audit } =
    parts;
  const { udp, forwards, published, echo, tcpCounts, refusals } = dataPath;
  return {
    tcp: tcpCounts,
    udp: udp.counts,
    'udp-forwards': forwards.counts,
    published: published.counts,
    icmp: echo.counts,
    dns: dns.counts,
    dhcp: dhcp.counts,
    'dhcp-drops': dhcp.drops,
    ...(dhcp6 === undefined ? {} : { dhcpv6: dhcp6.counts, 'dhcpv6-drops': dhcp6.drops }),
    ...(router === undefined ? {} : { router: router.counts }),
    ...(guestApi === undefined ? {} : { 'guest-api': guestApi.counts }),
    refusals,
    faults: faults.counts,
    mux: mux.carrier.counts,
    'mux-udp': mux.carrier.udpCounts,
    'mux-dialer': mux.dialer.counts,
    ssh: ssh.counts,
    streams: streams.unread.counts,
    ...(gate === undefined ? {} : { hooks: gate.questions.counts }),
    ...(audit === undefined ? {} : { audit }),
  };
}
