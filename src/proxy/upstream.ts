/** Dispatches the guests' traffic by its destination to a service of the gateway or to a proxy. */
import { type IpAddress, setWords } from '../base/ip-address.ts';
import type { Slab } from '../base/slab.ts';
import type { Instant } from '../base/time.ts';
import type {
  Datagram,
  EchoRequest,
  FlowId,
  RefuseReason,
  TcpRequest,
  Upstream,
} from '../stack/flow.ts';
import type { Guest } from '../stack/guest.ts';
import type { Mac } from '../wire/mac.ts';
import type { BlockedWhy, RefusalAnswer } from './flows/destination.ts';
import type { Destinations } from './flows/destinations.ts';
import type { FlowBook } from './flows/flow-book.ts';
import type { GatedTcp } from './flows/gated-tcp.ts';
import type { OwnDns } from './flows/own-dns.ts';
import type { ProxiesInUse } from './flows/proxied-destinations.ts';
import type { EchoProxy } from './icmp/echo-proxy.ts';
import type { UdpPublisher } from './ports/udp-publisher.ts';
import type { TcpProxy } from './tcp/tcp-proxy.ts';
import type { UdpForwards } from './udp/udp-forwards.ts';
import type { UdpNat } from './udp/udp-nat.ts';
import type { VirtualListeners } from './virtual-listeners.ts';

export interface ProxyParts {
  readonly book: FlowBook;
  readonly destinations: Destinations;
  readonly tcp: TcpProxy;
  /** Undefined: nobody is asked about connections. */
  readonly gated?: GatedTcp | undefined;
  readonly udp: UdpNat;
  readonly forwards: UdpForwards;
  readonly published: UdpPublisher;
  readonly proxies: Pick<ProxiesInUse, 'relays'>;
  readonly echo: EchoProxy;
  readonly ownDns: OwnDns;
  /** Called before all others. */
  readonly listeners: VirtualListeners;
  /** Called for a connection that is refused for its destination. */
  readonly onRefused: (id: FlowId, why: BlockedWhy) => void;
  /** As `Upstream.onGuestHeard`. */
  readonly onGuestHeard: (address: IpAddress, mac: Mac) => void;
  /** The guest is gone for good: its link, and all that waited for it. */
  readonly onGuestGone: (owner: Guest) => void;
}

/** A policy's `drop` has its guest wait for an answer. */
const SYN_ANSWERS: Readonly<Record<RefusalAnswer, RefuseReason>> = {
  prohibited: 'prohibited',
  refused: 'refused',
  none: 'timed-out',
};

/** The stack needs its upstream before the proxies have their stack: `parts` is set in between. */
export class ProxyUpstream implements Upstream {
  parts: ProxyParts | undefined = undefined;
  private readonly words = new Int32Array(4);

  onTcpRequest(now: Instant, request: TcpRequest): void {
    const { parts } = this;
    if (parts === undefined) return;
    const { remote, remotePort } = request.id;
    const service = parts.listeners.find(remote, remotePort);
    setWords(this.words, remote);
    if (service !== undefined) {
      const { destinations } = parts;
      const answer = destinations.refusesService(request.owner, 'tcp', this.words, 0, remotePort);
      if (answer !== undefined) request.refuse(now, SYN_ANSWERS[answer]);
      else if (parts.gated?.refuses(now, request) !== true) service(now, request);
      return;
    }
    const target = parts.destinations.decide(request.owner, 'tcp', this.words, 0, remotePort);
    switch (target.kind) {
      case 'host-loopback':
      case 'outside':
        (parts.gated ?? parts.tcp).open(request, target);
        return;
      case 'gateway':
        request.refuse(now, 'refused');
        return;
      case 'dns':
        if (parts.ownDns.current === undefined) request.refuse(now, 'refused');
        else if (parts.gated?.refuses(now, request, target) !== true) {
          parts.ownDns.current.takeRequest(now, request, target.verdict);
        }
        return;
      case 'refused':
        parts.onRefused(request.id, target.why);
        request.refuse(now, target.why === 'policy' ? SYN_ANSWERS[target.answer] : 'prohibited');
    }
  }

  onDatagram(now: Instant, datagram: Datagram): void {
    const { parts } = this;
    if (parts === undefined || parts.published.onDatagram(now, datagram)) return;
    const { relays } = parts.proxies;
    if (relays?.onDatagram(now, datagram) === true) return;
    parts.udp.onDatagram(now, datagram);
  }

  onDatagramRefused(
    now: Instant,
    owner: Guest,
    key: Int32Array,
    slab: Slab,
    off: number,
    len: number,
  ): void {
    this.parts?.published.onRefused(now, owner, key, slab.bytes, off, len);
  }

  decidesPings(): boolean {
    return this.parts?.destinations.hasPolicy === true;
  }

  onEcho(now: Instant, request: EchoRequest): void {
    this.parts?.echo.onEcho(now, request);
  }

  onGuestHeard(_now: Instant, address: IpAddress, mac: Mac): void {
    this.parts?.onGuestHeard(address, mac);
  }

  onAddressGone(_now: Instant, owner: Guest, address: IpAddress): void {
    const { parts } = this;
    if (parts === undefined) return;
    parts.udp.endGuest(owner, address);
    parts.forwards.endGuest(owner, address);
    parts.published.endGuest(owner, address);
    parts.proxies.relays?.endGuest(owner, address);
    parts.echo.endGuest(owner, address);
  }

  onGuestGone(_now: Instant, owner: Guest): void {
    this.parts?.onGuestGone(owner);
  }
}
