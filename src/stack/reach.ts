/** How guests are reached: who is asked for, in the manner of the address's family, and what waits for the answer. */
import type { Counters } from '../base/counters.ts';
import type { IpAddress } from '../base/ip-address.ts';
import { type Instant, NEVER } from '../base/time.ts';
import type { StackDrop } from './drops.ts';
import type { FlowId } from './flow.ts';
import type { Reachability } from './ip-output.ts';
import type { Timed } from './link.ts';
import type { LinkPort } from './link-port.ts';
import type { Neighbor, NeighborTable, NeighborWaiter } from './neighbor.ts';
import { type AddressResolver, type DatagramSender, Resolution } from './resolution.ts';

export interface Resolvers {
  readonly ipv4: AddressResolver;
  /** Undefined where IPv6 is off. */
  readonly ipv6: AddressResolver | undefined;
  readonly sender: DatagramSender;
}

/** Made before what asks and sends, which are made with it. */
export class Reach implements Reachability, AddressResolver, Timed {
  private readonly neighbors: NeighborTable;
  private readonly ports: ReadonlySet<LinkPort>;
  private readonly drops: Counters<StackDrop>;
  private resolvers: Resolvers | undefined = undefined;
  private resolution: Resolution | undefined = undefined;
  private lastNow: Instant = 0;

  constructor(neighbors: NeighborTable, ports: ReadonlySet<LinkPort>, drops: Counters<StackDrop>) {
    this.neighbors = neighbors;
    this.ports = ports;
    this.drops = drops;
  }

  resolveBy(resolvers: Resolvers): void {
    const { ports, drops } = this;
    this.resolvers = resolvers;
    this.resolution = new Resolution({ resolver: this, ports, drops, sender: resolvers.sender });
  }

  /** The neighbour at `address`, if it can be sent to; else it is asked for, so that the next packet arrives. */
  find(now: Instant, address: IpAddress): Neighbor | undefined {
    const neighbor = this.neighbors.findAddress(address);
    if (neighbor?.port !== undefined) return neighbor;
    const unknown = this.neighbors.obtain(now, address);
    if (unknown === undefined) this.drops.add('neighbor-table-full');
    else this.resolution?.ask(now, unknown);
    this.drops.add('out-no-link');
    return undefined;
  }

  /**
   * Whether a dial is worth while: the guest is there, or may be, on one of the links. Where its link went and no other
   * has come since it is asked for: it may have come by a link that was there before.
   */
  mayAnswer(now: Instant, neighbor: Neighbor): boolean {
    this.lastNow = now;
    if (neighbor.port !== undefined) return true;
    if (this.ports.size > 0 && !neighbor.isAway) return true;
    this.resolution?.ask(now, neighbor);
    return false;
  }

  /** Keep a datagram for a neighbour without a link, and ask for it. @returns false when there is no room; counted */
  hold(
    now: Instant,
    neighbor: Neighbor,
    id: FlowId,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): boolean {
    this.resolution?.ask(now, neighbor);
    return this.resolution?.hold(neighbor, id, bytes, off, len) ?? false;
  }

  /** A guest asks whether anybody has `address`, since it wants to have it. */
  onTentative(now: Instant, address: IpAddress): void {
    const neighbor = this.neighbors.findAddress(address);
    if (neighbor !== undefined) this.resolution?.prolong(now, neighbor);
  }

  // --- Timed ---

  nextTimeout(): Instant {
    return this.resolution?.nextTimeout() ?? NEVER;
  }

  onTimeout(now: Instant): void {
    this.lastNow = now;
    this.resolution?.onTimeout(now);
  }

  // --- AddressResolver ---

  ask(port: LinkPort, address: IpAddress): void {
    this.resolverOf(address)?.ask(port, address);
  }

  probe(port: LinkPort, neighbor: Neighbor): void {
    this.resolverOf(neighbor.address)?.probe(port, neighbor);
  }

  // --- Reachability ---

  onUnresolved(neighbor: Neighbor): void {
    this.resolution?.ask(this.lastNow, neighbor);
  }

  onUnanswered(now: Instant, neighbor: Neighbor, waiter: NeighborWaiter): void {
    this.resolution?.doubt(now, neighbor, waiter);
  }

  /** Time for what is sent until the next call. */
  tick(now: Instant): void {
    this.lastNow = now;
  }

  private resolverOf({ family }: IpAddress): AddressResolver | undefined {
    return family === 4 ? this.resolvers?.ipv4 : this.resolvers?.ipv6;
  }
}
