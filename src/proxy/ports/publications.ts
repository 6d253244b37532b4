/**
 * Publications by id, in their order, and by the host's port, since guests may have thousands: whoever looks for one of a place
 * looks at those of its port alone.
 */
import type { PublishSpec } from './publish-spec.ts';

/** In place of a port: of all Unix sockets, which are the host's own. */
const UNIX = -1;

const portOf = (spec: PublishSpec): number => (spec.protocol === 'unix' ? UNIX : spec.hostPort);

export class Publications<P extends { readonly spec: PublishSpec }> {
  private readonly byId = new Map<string, P>();
  private readonly byPort = new Map<number, Map<string, P>>();

  add(id: string, publication: P): void {
    this.byId.set(id, publication);
    const port = portOf(publication.spec);
    const others = this.byPort.get(port);
    if (others === undefined) this.byPort.set(port, new Map([[id, publication]]));
    else others.set(id, publication);
  }

  get(id: string): P | undefined {
    return this.byId.get(id);
  }

  /** @returns what was there */
  remove(id: string): P | undefined {
    const publication = this.byId.get(id);
    if (publication === undefined) return undefined;
    this.byId.delete(id);
    const port = portOf(publication.spec);
    const others = this.byPort.get(port);
    others?.delete(id);
    if (others?.size === 0) this.byPort.delete(port);
    return publication;
  }

  all(): ReadonlyMap<string, P> {
    return this.byId;
  }

  /** Of every protocol and address with a port. */
  onPort(port: number): ReadonlyMap<string, P> {
    return this.byPort.get(port) ?? new Map();
  }

  /** That may be in the way of `spec`. */
  beside(spec: PublishSpec): Iterable<P> {
    return this.onPort(portOf(spec)).values();
  }
}
