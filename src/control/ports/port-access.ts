/**
 * The table of published ports as one client may use it: all of it for a client of the control API; for
 * a guest, or the agent in one, its own publications, at the places that the rules allow.
 *
 * A guest that asks for every address of the host (`0.0.0.0`, `::`, as Docker and Podman do when nothing
 * is said) where the rules allow only the loopback gets the loopback: `docker run -p 8080:80` then serves
 * the host's localhost:8080, and nobody beyond the host.
 */
import { IpAddress, ipv4 } from '../../base/ip-address.ts';
import {
  isSameOwner,
  type PortBook,
  type PortOwner,
  type PublishedPort,
} from '../../proxy/ports/port-table.ts';
import {
  formatEndpoint,
  formatHostSide,
  type PortSpec,
  PublishError,
  type PublishSpec,
} from '../../proxy/ports/publish-spec.ts';
import { type BindRule, formatBindRule, isAllowed } from './bind-rules.ts';
import { isWildcard } from './go-addresses.ts';

export interface PortAccess {
  readonly hasAgent: boolean;
  /** In the order of publication. */
  list(): readonly PublishedPort[];
  /** @throws PublishError */
  publish(spec: PublishSpec, leased: boolean): Promise<PublishedPort>;
  /** @returns false when this client has no such port */
  unpublish(id: string): boolean;
  /** The port that `publish` would have made of this; undefined when there is none. */
  find(
    protocol: 'tcp' | 'udp',
    address: IpAddress | undefined,
    port: number,
  ): PublishedPort | undefined;
}

export const hostAccess = (book: PortBook): PortAccess => ({
  hasAgent: book.hasAgent,
  list: () => book.list(),
  publish: (spec, leased) => book.publish(spec, 'api', leased),
  unpublish: (id) => book.unpublish(id),
  find: (protocol, address, port) => findAt(book.list(), protocol, address, port),
});

/** What is published for a guest: at the places that the rules allow, and no files of the host. */
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

  /** What this owner gets for what it asked. @throws PublishError when it may not have it */
  protected abstract confine(spec: PortSpec): PortSpec;

  list(): readonly PublishedPort[] {
    return this.book.list().filter(({ owner }) => isSameOwner(owner, this.owner));
  }

  async publish(spec: PublishSpec, leased: boolean): Promise<PublishedPort> {
    const { book, rules, owner } = this;
    if (spec.protocol === 'unix') {
      throw forbidden(spec, 'guests make no sockets in the files of the host');
    }
    const hostAddress = this.narrow(spec.hostAddress, spec.hostPort);
    const wanted = this.confine({ ...spec, hostAddress });
    const asked = spec.hostPort === 0 ? undefined : spec.hostPort;
    if (!isAllowed(rules, hostAddress, asked)) throw forbidden(spec, this.allowed());
    const port = await book.publish(wanted, owner, leased);
    if (port.protocol !== 'unix' && !isAllowed(rules, hostAddress, port.hostPort)) {
      book.unpublish(port.id); // the system picked one that the rules do not allow
      throw forbidden(spec, this.allowed());
    }
    return port;
  }

  unpublish(id: string): boolean {
    return this.list().some((port) => port.id === id) && this.book.unpublish(id);
  }

  find(
    protocol: 'tcp' | 'udp',
    address: IpAddress | undefined,
    port: number,
  ): PublishedPort | undefined {
    return findAt(this.list(), protocol, this.narrow(address, port), port);
  }

  /** The loopback, where a wildcard is asked for and only that is allowed. */
  private narrow(address: IpAddress | undefined, port: number): IpAddress | undefined {
    const asked = port === 0 ? undefined : port;
    const isConcrete = address !== undefined && !isWildcard(address);
    if (isConcrete || isAllowed(this.rules, address, asked)) return address;
    const loopback = address?.family === 6 ? LOOPBACK6 : LOOPBACK4;
    return isAllowed(this.rules, loopback, asked) ? loopback : address;
  }

  private allowed(): string {
    const rules = this.rules.map(formatBindRule).join(', ');
    return `guests may publish at ${rules || 'no place'} (--guest-api-bind)`;
  }
}

/** A guest publishes ports of its own address. */
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
      throw forbidden(spec, 'guests publish ports of their own, not through the agent');
    }
    if (spec.guestAddress !== undefined && !spec.guestAddress.equals(guest)) {
      throw forbidden(spec, `${spec.guestAddress} is not yours: you are ${guest}`);
    }
    return { ...spec, guestAddress: guest, via: 'net' };
  }
}

/** Whoever asks through the agent publishes what the agent reaches. */
export class AgentAccess extends ConfinedAccess {
  readonly hasAgent = true;

  constructor(book: PortBook, rules: readonly BindRule[]) {
    super(book, rules, 'agent');
  }

  protected override confine(spec: PortSpec): PortSpec {
    if (spec.via === 'net') {
      throw forbidden(spec, 'what is asked through the agent is published through it: via mux');
    }
    return { ...spec, via: 'mux' };
  }
}

const LOOPBACK4: IpAddress = ipv4(0x7f00_0001);
const LOOPBACK6: IpAddress = new IpAddress(0, 0, 0, 1);

function findAt(
  ports: readonly PublishedPort[],
  protocol: 'tcp' | 'udp',
  address: IpAddress | undefined,
  hostPort: number,
): PublishedPort | undefined {
  const place = formatEndpoint(address, hostPort, '*');
  return ports.find(
    (port) =>
      port.protocol === protocol && formatEndpoint(port.hostAddress, port.hostPort, '*') === place,
  );
}

const forbidden = (spec: PublishSpec, why: string): PublishError =>
  new PublishError(
    'ERR_HAWSER_PUBLISH_FORBIDDEN',
    `cannot publish ${formatHostSide(spec)}: ${why}`,
  );
