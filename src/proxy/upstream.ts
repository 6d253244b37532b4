/** Where what a guest sends goes: by its destination, to a service of the gateway or to a proxy. */
import type { Counters } from '../base/counters.ts';
import type { Instant } from '../base/time.ts';
import type { Datagram, EchoRequest, TcpRequest, Upstream } from '../stack/flow.ts';
import type { AddressMap } from './address-map.ts';
import type { EchoProxy } from './icmp/echo-proxy.ts';
import type { UdpPublisher } from './ports/udp-publisher.ts';
import type { TcpProxy } from './tcp/tcp-proxy.ts';
import type { UdpNat } from './udp/udp-nat.ts';

/** A TCP service on the gateway's address. */
export type TcpService = (now: Instant, request: TcpRequest) => void;

export interface ProxyParts {
  readonly addresses: AddressMap;
  readonly tcp: TcpProxy;
  readonly udp: UdpNat;
  readonly published: UdpPublisher;
  readonly echo: EchoProxy;
  readonly services: ReadonlyMap<number, TcpService>;
  /** Destinations refused, by why. */
  readonly refusals: Counters<string>;
}

/** The stack needs its upstream before the proxies have their stack: `parts` is set in between. */
export class ProxyUpstream implements Upstream {
  parts: ProxyParts | undefined = undefined;

  onTcpRequest(now: Instant, request: TcpRequest): void {
    const { parts } = this;
    if (parts === undefined) return;
    const { remote, remotePort } = request.id;
    const target = parts.addresses.classify(remote, remotePort);
    switch (target.kind) {
      case 'host-loopback':
      case 'outside':
        parts.tcp.open(request, target.address);
        return;
      case 'gateway': {
        const service = parts.services.get(remotePort);
        if (service === undefined) request.refuse(now, 'refused');
        else service(now, request);
        return;
      }
      case 'refused':
        parts.refusals.add(`tcp-${target.why}`);
        request.refuse(now, 'prohibited');
    }
  }

  onDatagram(now: Instant, datagram: Datagram): void {
    const { parts } = this;
    if (parts === undefined || parts.published.onDatagram(now, datagram)) return;
    parts.udp.onDatagram(now, datagram);
  }

  onEcho(now: Instant, request: EchoRequest): void {
    this.parts?.echo.onEcho(now, request);
  }
}
