/**
 * The table of published ports as one client may use it: all of it for a client of the control API; for
 * a guest, or the agent in one, its own publications, at the places that the rules allow.
 *
 * A guest that requests every address of the host (`0.0.0.0`, `::`, the default of Docker and Podman)
 * where the rules allow only the loopback gets the loopback: `docker run -p 8080:80` then serves
 * the host's localhost:8080, and no client outside the host.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import { LOOPBACK4, LOOPBACK6 } from '../../proxy/ports/loopback-pair.ts';
import type { PortOwner } from '../../proxy/ports/port-owner.ts';
import type { PortBook, PublicationEnd, PublishedPort } from '../../proxy/ports/port-table.ts';
import {
  formatEndpoint,
  formatHostSide,
  type HostAddress,
  type PortSpec,
  PublishError,
  type PublishSpec,
} from '../../proxy/ports/publish-spec.ts';
import type { WaitingPort, WantingPublisher } from '../../proxy/ports/waiting-ports.ts';
import { type BindRule, formatBindRule, isAllowed } from './bind-rules.ts';
import { isWildcard } from './go-addresses.ts';

export interface PortAccess {
  readonly hasAgent: boolean;
  /** In the order of publication. */
  list(): readonly PublishedPort[];
  /**
   * @param onEnd it has ended, whoever ended it
   * @throws PublishError
   */
  publish(
    spec: PublishSpec,
    leased: boolean,
    onEnd?: (why: PublicationEnd) => void,
  ): Promise<PublishedPort>;
  /** Ports that are wanted, and are not published yet. */
  waiting(): readonly WaitingPort[];
  /** Who wants more ports than may be, and how many of them are left out. */
  beyond(): readonly Pick<WantingPublisher, 'owner' | 'leftOut'>[];
  /** @returns false when this client has no such port */
  unpublish(id: string): boolean;
  /** The published port that `publish` would have made of these arguments; undefined when there is none. */
  find(protocol: 'tcp' | 'udp', address: HostAddress, port: number): PublishedPort | undefined;
}

export const hostAccess = (book: PortBook): PortAccess => ({
  hasAgent: book.hasAgent,
  list: () => book.list(),
  publish: (spec, leased, onEnd) => book.publish(spec, 'api', leased, onEnd),
  waiting: () => [...book.waiting.list()],
  beyond: () => [...book.waiting.beyond()],
  unpublish: (id) => book.unpublish(id),
  find: (protocol, address, port) => findAt(book.onPort(port), protocol, address, port),
});

/** The same, but for ports at addresses that no rule allows. Of the two loopbacks at once, those that are allowed. */
export const limitedHostAccess = (book: PortBook, rules: readonly BindRule[]): PortAccess => ({
  ...hostAccess(book),
  publish: async (spec, leased) => {
    if (spec.protocol === 'unix') return await book.publish(spec, 'api', leased);
    const asked = spec.hostPort === 0 ? undefined : spec.hostPort;
    const places = spec.hostAddress === 'localhost' ? loopbacksOf('localhost') : [spec.hostAddress];
    const at = places.findIndex((address) => isAllowed(rules, address, asked));
    if (at < 0) {
      throw forbidden(spec, `ports may be published at ${rules.map(formatBindRule).join(', ')}`);
    }
    return await book.publish({ ...spec, hostAddress: places[at] }, 'api', leased);
  },
});

/** Publications of a guest: at the addresses that the rules allow, and no Unix sockets of the host. */
abstract class ConfinedAccess implements PortAccess {
  abstract readonly hasAgent: boolean;
  private readonly book: PortBook;
  private readonly rules: readonly BindRule[];
  private readonly owner: PortOwner;

  constructor(book: PortBook, rules: readonly BindRule[], owner: PortOwner) {
    this.book = book;
    this.rules = rules;
    this.owner = owner;
  }

  /** The publication that this owner gets for its request. @throws PublishError when it is not allowed */
  protected abstract confine(spec: PortSpec): PortSpec;

  list(): readonly PublishedPort[] {
    return this.book.list().filter(({ owner }) => this.isOwn(owner));
  }

  waiting(): readonly WaitingPort[] {
    return [...this.book.waiting.list()].filter(({ owner }) => this.isOwn(owner));
  }

  beyond(): readonly Pick<WantingPublisher, 'owner' | 'leftOut'>[] {
    return [...this.book.waiting.beyond()].filter(({ owner }) => this.isOwn(owner));
  }

  async publish(
    spec: PublishSpec,
    leased: boolean,
    onEnd?: (why: PublicationEnd) => void,
  ): Promise<PublishedPort> {
    const { book, rules, owner } = this;
    if (spec.protocol === 'unix') {
      throw forbidden(spec, 'guests may not create sockets in the file system of the host');
    }
    const hostAddress = this.narrow(spec.hostAddress, spec.hostPort);
    const wanted = this.confine({ ...spec, hostAddress });
    const asked = spec.hostPort === 0 ? undefined : spec.hostPort;
    if (!isAllowed(rules, hostAddress, asked)) throw forbidden(spec, this.allowed());
    const before = this.find(spec.protocol, spec.hostAddress, spec.hostPort);
    if (before?.outdated === true) book.unpublish(before.id);
    const port = await book.publish(wanted, owner, leased, onEnd);
    if (port.protocol !== 'unix' && !isAllowed(rules, hostAddress, port.hostPort)) {
      book.unpublish(port.id); // the system picked one that the rules do not allow
      throw forbidden(spec, this.allowed());
    }
    return port;
  }

  unpublish(id: string): boolean {
    const owner = this.book.ownerOf(id);
    return owner !== undefined && this.isOwn(owner) && this.book.unpublish(id);
  }

  find(protocol: 'tcp' | 'udp', address: HostAddress, port: number): PublishedPort | undefined {
    const own = this.book.onPort(port).filter(({ owner }) => this.isOwn(owner));
    return findAt(own, protocol, this.narrow(address, port), port);
  }

  protected isOwn(owner: PortOwner): boolean {
    return this.book.isSameOwner(owner, this.owner);
  }

  /** The loopback, where a wildcard is asked for and only that is allowed. */
  private narrow(address: HostAddress, port: number): HostAddress {
    const asked = port === 0 ? undefined : port;
    if (isAllowed(this.rules, address, asked)) return address;
    return loopbacksOf(address).find((one) => isAllowed(this.rules, one, asked)) ?? address;
  }

  private allowed(): string {
    const rules = this.rules.map(formatBindRule).join(', ');
    return `guests may publish at ${rules || 'no place'} (--guest-api-bind)`;
  }
}

/** A guest publishes ports of its own addresses, whichever it asks by. */
export class GuestAccess extends ConfinedAccess {
  readonly hasAgent = false;
  private readonly guest: IpAddress;

  constructor(book: PortBook, rules: readonly BindRule[], guest: IpAddress) {
    super(book, rules, { guest });
    this.guest = guest;
  }

  protected override confine(spec: PortSpec): PortSpec {
    const { guest } = this;
    if (spec.via === 'mux' || spec.guestPath !== undefined) {
      throw forbidden(spec, 'guests may publish their own ports only, not through the agent');
    }
    const guestAddress = spec.guestAddress ?? guest;
    if (!this.isOwn({ guest: guestAddress })) {
      throw forbidden(spec, `${guestAddress} is not yours: you are ${guest}`);
    }
    if (spec.guest !== undefined) {
      throw forbidden(spec, `guests name no guests: leave it out, you are ${guest}`);
    }
    return { ...spec, guestAddress, guest: undefined, via: 'net' };
  }
}

/** Clients that connect through the agent publish what the agent reaches. */
export class AgentAccess extends ConfinedAccess {
  readonly hasAgent = true;

  /** @param agent the name of its link */
  constructor(book: PortBook, rules: readonly BindRule[], agent: string) {
    super(book, rules, { agent });
  }

  protected override confine(spec: PortSpec): PortSpec {
    if (spec.via === 'net') {
      throw forbidden(
        spec,
        'clients that connect through the agent may publish through the agent only: via mux',
      );
    }
    return { ...spec, via: 'mux' };
  }
}

/** The loopback addresses that replace a wildcard, the widest first. */
function loopbacksOf(address: HostAddress): readonly HostAddress[] {
  if (address === undefined || address === 'localhost') return ['localhost', LOOPBACK4, LOOPBACK6];
  if (!isWildcard(address)) return [];
  return [address.family === 4 ? LOOPBACK4 : LOOPBACK6];
}

function findAt(
  ports: readonly PublishedPort[],
  protocol: 'tcp' | 'udp',
  address: HostAddress,
  hostPort: number,
): PublishedPort | undefined {
  const place = formatEndpoint(address, hostPort, '*');
  // The drop-in APIs cannot express both loopback addresses, and show one.
  const isShownAs = (port: PublishedPort & PortSpec): boolean =>
    formatEndpoint(port.hostAddress, port.hostPort, '*') === place ||
    formatEndpoint(port.onlyLoopback ?? shownHost(port.hostAddress), port.hostPort, '*') === place;
  return ports.find((port) => port.protocol === protocol && isShownAs(port));
}

/** The form for clients that know addresses only. */
export const shownHost = (address: HostAddress): IpAddress | undefined =>
  address === 'localhost' ? LOOPBACK4 : address;

const forbidden = (spec: PublishSpec, why: string): PublishError =>
  new PublishError(
    'ERR_HAWSER_PUBLISH_FORBIDDEN',
    `cannot publish ${formatHostSide(spec)}: ${why}`,
  );
