/** iperf3 through a peer, and what it cost the peer. */
import { type IperfResult, iperf } from '../rig/iperf.ts';
import { PORTS } from '../rig/lab.ts';
import { type CaseRun, type Direction, targetOf, withCpu } from './case.ts';

export function runIperf(
  { lab, peer, seconds }: CaseRun,
  direction: Direction,
  args: readonly string[],
): Promise<{ readonly result: IperfResult; readonly cpuS: number }> {
  const toHost = direction === 'to-host';
  return withCpu(peer, () =>
    iperf(lab, {
      server: toHost ? lab.host : lab.guest,
      client: toHost ? lab.guest : lab.host,
      target: targetOf(peer, direction),
      port: toHost ? PORTS.host.bulk : PORTS.guest.bulk,
      seconds,
      args,
    }),
  );
}
