/** Ports that are wanted and cannot be published now, of everybody who wants some: they are tried again, and shown. */
import type { PortOwner } from './port-owner.ts';
import type { PortSpec, PublishError } from './publish-spec.ts';

export interface WaitingPort {
  readonly spec: PortSpec;
  readonly owner: PortOwner;
  /** Why it could not be published when that was tried last. */
  readonly problem: PublishError;
}

/** Somebody who wants ports. */
export interface WantingPublisher {
  readonly owner: PortOwner;
  /** Ports that it wants beyond the number that it may want. */
  readonly leftOut: number;
  waiting(): Iterable<WaitingPort>;
}

export class WaitingPorts {
  private readonly publishers = new Set<WantingPublisher>();

  add(publisher: WantingPublisher): void {
    this.publishers.add(publisher);
  }

  delete(publisher: WantingPublisher): void {
    this.publishers.delete(publisher);
  }

  *list(): Generator<WaitingPort> {
    for (const publisher of this.publishers) yield* publisher.waiting();
  }

  /** Those that want more than they may. */
  *beyond(): Generator<WantingPublisher> {
    for (const publisher of this.publishers) if (publisher.leftOut > 0) yield publisher;
  }
}

/** DNS, NTP's chronyd, multicast DNS and LLMNR: guests and hosts both serve them to themselves. */
const USUAL: ReadonlySet<number> = new Set([53, 323, 5353, 5355]);
const FIRST_UNPRIVILEGED = 1024;

/** Whether it is to be expected that a guest does not get this port of the host. */
export const isUsual = ({ hostPort }: Pick<PortSpec, 'hostPort'>): boolean =>
  hostPort < FIRST_UNPRIVILEGED || USUAL.has(hostPort);
