/**
 * The table of published ports as one client may use it: all of it for a client of the control API; for
 * a guest its own publications, at the places that the rules allow.
 *
 * A guest that asks for every address of the host (`0.0.0.0`, `::`, as Docker and Podman do when nothing
 * is said) where the rules allow only the loopback gets the loopback: `docker run -p 8080:80` then serves
 * the host's localhost:8080, and nobody beyond the host.
 */
import { IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { PortBook, PublishedPort } from '../../proxy/ports/port-table.ts';
import {
  formatEndpoint,
  formatHostSide,
  type PortSpec,
  PublishError,
  type PublishSpec,
} from '../../proxy/ports/publish-spec.ts';
import { type BindRule, formatBindRule, isAllowed } from './bind-rules.ts';

export interface PortAccess {
  /** The guest that asks; undefined for a client of the control API. */
  readonly guest: IpAddress | undefined;
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
  guest: undefined,
  hasAgent: book.hasAgent,
  list: () => book.list(),
  publish: (spec, leased) => book.publish(spec, 'api', leased),
  unpublish: (id) => book.unpublish(id),
  find: (protocol, address, port) => findAt(book.list(), protocol, address, port),
});

export class GuestAccess implements PortAccess {
  readonly guest: IpAddress;
  readonly hasAgent = false;
  private readonly book: PortBook;
  private readonly rules: readonly BindRule[];

  constructor(book: PortBook, rules: readonly BindRule[], guest: IpAddress) {
    this.book = book;
    this.rules = rules;
    this.guest = guest;
  }

  list(): readonly PublishedPort[] {
    const { guest } = this;
    return this.book
      .list()
      .filter(({ owner }) => typeof owner === 'object' && owner.guest.equals(guest));
  }

  async publish(spec: PublishSpec, leased: boolean): Promise<PublishedPort> {
    const { book, rules, guest } = this;
    if (spec.protocol === 'unix') {
      throw forbidden(spec, 'guests make no sockets in the files of the host');
    }
    if (spec.via === 'mux' || spec.guestPath !== undefined) {
      throw forbidden(spec, 'guests publish ports of their own, not through the agent');
    }
    if (spec.guestAddress !== undefined && !spec.guestAddress.equals(guest)) {
      throw forbidden(spec, `${spec.guestAddress} is not yours: you are ${guest}`);
    }
    const hostAddress = this.narrow(spec.hostAddress, spec.hostPort);
    const wanted: PortSpec = { ...spec, hostAddress, guestAddress: guest, via: 'net' };
    if (spec.hostPort !== 0 && !isAllowed(rules, hostAddress, spec.hostPort)) {
      throw forbidden(spec, this.allowed());
    }
    if (spec.hostPort === 0 && !isAllowed(rules, hostAddress, undefined)) {
      throw forbidden(spec, this.allowed());
    }
    const port = await book.publish(wanted, { guest }, leased);
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
    const isWildcard = address === undefined || address.equals(ANY4) || address.equals(ANY6);
    const asked = port === 0 ? undefined : port;
    if (!isWildcard || isAllowed(this.rules, address, asked)) return address;
    const loopback = address?.family === 6 ? LOOPBACK6 : LOOPBACK4;
    return isAllowed(this.rules, loopback, asked) ? loopback : address;
  }

  private allowed(): string {
    const rules = this.rules.map(formatBindRule).join(', ');
    return `guests may publish at ${rules || 'no place'} (--guest-api-bind)`;
  }
}

const ANY4: IpAddress = ipv4(0);
const ANY6: IpAddress = new IpAddress(0, 0, 0, 0);
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
  new PublishError('ERR_PUBLISH_FORBIDDEN', `cannot publish ${formatHostSide(spec)}: ${why}`);
