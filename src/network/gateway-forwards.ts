/** Ports of the gateway that lead to the host's network. They go before the gateway's own services. */
import { UDP_FORWARDS_MAX } from '../proxy/udp/udp-forwards.ts';
import type { Addresses } from './addresses.ts';
import type { DataPath } from './data-path.ts';
import { gatewayAddresses } from './gateway.ts';

/** A port of the gateway, and where it leads: an IPv4 address and a port. */
export interface GatewayForward {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly address: string;
  readonly addressPort: number;
}

export class GatewayForwards {
  private readonly dataPath: Pick<DataPath, 'stack' | 'tcp' | 'forwards' | 'listeners'>;
  private readonly addresses: Addresses;
  private undo: (() => void)[] = [];

  constructor(dataPath: DataPath, addresses: Addresses) {
    this.dataPath = dataPath;
    this.addresses = addresses;
  }

  /**
   * Let these be forwarded, and no others. Connections of TCP go on.
   *
   * @param forwards of two of one port the first holds
   * @returns those that there is no room for
   */
  set(forwards: readonly GatewayForward[]): readonly GatewayForward[] {
    for (const undo of this.undo) undo();
    this.undo = [];
    this.dataPath.forwards.endAll();
    const tcp = firstOfPorts(forwards, 'tcp');
    const udp = firstOfPorts(forwards, 'udp');
    for (const forward of tcp.slice(0, UDP_FORWARDS_MAX)) this.undo.push(this.serveTcp(forward));
    for (const [i, { port, address, addressPort }] of udp.slice(0, UDP_FORWARDS_MAX).entries()) {
      const service = this.dataPath.forwards.service(i, { address, port: addressPort });
      this.undo.push(this.dataPath.stack.serveUdp(port, service));
    }
    return [...tcp.slice(UDP_FORWARDS_MAX), ...udp.slice(UDP_FORWARDS_MAX)];
  }

  private serveTcp({ port, address, addressPort }: GatewayForward): () => void {
    const { listeners, tcp } = this.dataPath;
    const to = { kind: 'outside', address, port: addressPort, isTranslated: true } as const;
    return listeners.replace(gatewayAddresses(this.addresses), port, (_now, request) =>
      tcp.open(request, to),
    );
  }
}

function firstOfPorts(
  forwards: readonly GatewayForward[],
  protocol: GatewayForward['protocol'],
): GatewayForward[] {
  const byPort = new Map<number, GatewayForward>();
  for (const forward of forwards) {
    if (forward.protocol === protocol && !byPort.has(forward.port)) {
      byPort.set(forward.port, forward);
    }
  }
  return [...byPort.values()];
}
