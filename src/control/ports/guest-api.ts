/**
 * The API that guests reach at `http://GATEWAY/`: `/v1/ports`, and the ports of gvproxy's and VPNKit's APIs,
 * each guest for itself. The agent's channels to the gateway's port reach it too: their clients publish
 * through the agent.
 *
 * Node's HTTP server runs on the stack's own connections, and on channels. Guests are hostile: a connection that holds no
 * lease has a deadline for its request and its answer, whatever it sends; beyond a number of a guest, and in total, the
 * one that waits longest gives way, of the guest that has most; leases are bounded by the table's ports of one guest.
 * Ports belong to the address of a guest; all clients of the agent behind one link count as one. Browsers are kept out: they send an Origin with
 * every request that changes something.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Chained } from '../../base/chain.ts';
import { Counters } from '../../base/counters.ts';
import { type IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Budget } from '../../base/shares/budget.ts';
import { Owner } from '../../base/shares/owner.ts';
import type { Instant } from '../../base/time.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import { channelFacts, endOf, UNKNOWN_END } from '../../proxy/agent/channel-facts.ts';
import { bookDuplex } from '../../proxy/flows/duplex-flow.ts';
import type { FlowBook } from '../../proxy/flows/flow-book.ts';
import { tcpFacts } from '../../proxy/flows/stream-facts.ts';
import { NO_FLUSH } from '../../proxy/flush-scheduler.ts';
import type { PortBook } from '../../proxy/ports/port-table.ts';
import { type ServiceClient, ServiceClients } from '../../proxy/service-clients.ts';
import { ByteDuplex, type DuplexContext, namesOf } from '../../proxy/stream/byte-duplex.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { TcpRequest } from '../../stack/flow.ts';
import type { Guest } from '../../stack/guest.ts';
import { createApiServer } from '../api-server.ts';
import type { HeldConnections } from '../held-connections.ts';
import { type ProblemError, problem, quoted } from '../problem.ts';
import type { BindRule } from './bind-rules.ts';
import { DENIAL_ROUTES, type DenialTarget, type GuestDenialView } from './denial-routes.ts';
import { PlaceSampler } from './place-sampler.ts';
import { AgentAccess, GuestAccess } from './port-access.ts';
import { PORT_ROUTES } from './port-routes.ts';
import { WANTED_ROUTES, type WantedTarget } from './wanted-routes.ts';
import { WantedSets } from './wanted-sets.ts';

export const GUEST_API_PORT = 80;
/** As an agent calls the gateway, whose address it need not know. */
export const ANY_GATEWAY: IpAddress = ipv4(0);

export interface GuestApiLimits {
  /** Connections of one guest, and in total, that hold no lease; beyond them one gives way. */
  readonly ofGuest: number;
  readonly total: number;
  /** Connections of one guest that hold a lease, or held one. */
  readonly heldByGuest: number;
  /** For a request to arrive, and its answer to be read. */
  readonly deadlineMs: number;
}

export const GUEST_API_LIMITS: GuestApiLimits = {
  ofGuest: 32,
  total: 256,
  heldByGuest: 1024,
  deadlineMs: 15_000,
};

/** Connections ended late, or in favour of others; refused because their guest holds as many as it may. */
export type GuestApiCount = 'late' | 'evicted' | 'refused';

const SWEEP_MS = 1000;

export interface GuestApiDeps {
  readonly ports: PortBook;
  /** Of a channel that is meant for this API. */
  readonly gateway: IpAddress;
  readonly rules: readonly BindRule[];
  /** Whether an agent behind a link may use it. Default: all may. */
  readonly isOpenTo?: (owner: Guest | undefined, link: string) => boolean;
  readonly context: DuplexContext;
  /** What a guest was denied, the last one first. */
  readonly denialsOf: (guest: Guest) => readonly GuestDenialView[];
  readonly book: FlowBook;
  readonly version: string;
  readonly log: Log;
}

export class GuestApi {
  readonly counts: Counters<GuestApiCount> = new Counters();
  private readonly deps: GuestApiDeps;
  private readonly limits: GuestApiLimits;
  private readonly connections = new Map<Duplex, Connection>();
  /** Of the connections, those that hold no lease. */
  private readonly clients: ServiceClients<Connection>;
  /** By their links; all clients of one agent count as one. */
  private readonly agents = new Map<string, Owner>();
  /** How many of the others an owner has. */
  private readonly heldBy = new Map<Owner, number>();
  private readonly held: HeldConnections;
  private readonly admit: (connection: Duplex) => void;
  private sweeper: NodeJS.Timeout | undefined = undefined;
  private readonly sampler: PlaceSampler;

  constructor(deps: GuestApiDeps, limits: GuestApiLimits = GUEST_API_LIMITS) {
    this.deps = deps;
    this.limits = limits;
    const { ofGuest, total, deadlineMs } = limits;
    this.clients = new ServiceClients('api-connections', { ofGuest, total, idleMs: deadlineMs });
    const { ports, rules, version, log, context } = deps;
    const sets = new WantedSets({ waiting: ports.waiting, clock: context.clock, log });
    const { server, held } = createApiServer<WantedTarget & DenialTarget>(
      {
        routes: [...PORT_ROUTES, ...WANTED_ROUTES, ...DENIAL_ROUTES],
        version,
        refusal: guestRefusal,
        target: (request) => {
          const { by, guest } = this.connectionOf(request);
          const denials = () => (guest === undefined ? [] : this.deps.denialsOf(guest));
          if (typeof by !== 'string') {
            return { ports: new GuestAccess(ports, rules, by), wanted: undefined, denials };
          }
          const access = new AgentAccess(ports, rules, by);
          const wanted = (count: number) => sets.of(by, request.socket, access, count);
          return { ports: access, wanted, denials };
        },
      },
      log,
    );
    this.sampler = new PlaceSampler(() => ports.kept?.sample());
    server.keepAliveTimeout = 0; // the deadline does it
    this.held = held;
    this.admit = (connection) => server.emit('connection', connection);
    server.on('request', (request, response) => {
      this.onProgress(request.socket);
      response.once('finish', () => this.onProgress(request.socket));
    });
  }

  /** A guest connects. */
  onRequest(now: Instant, request: TcpRequest): void {
    if (this.holdsTooMuch(request.owner.owner)) {
      request.refuse(now, 'refused');
      return;
    }
    const duplex = new ByteDuplex(this.deps.context, namesOf(request.id));
    const flow = request.accept(now, duplex);
    if (flow === undefined) {
      duplex.destroy();
      return;
    }
    const { id, owner } = request;
    const origin = { openedBy: 'guest', service: 'guest-api' } as const;
    bookDuplex(this.deps.book, duplex, owner, () => tcpFacts(id, origin, flow));
    this.serve(duplex, owner.owner, id.guest, owner);
    duplex.join(flow);
  }

  /**
   * An agent opens a channel.
   *
   * @param owner of the guest that it is in, where that is known
   * @param link its name
   * @returns false when it is not meant for this API
   */
  onChannel(
    now: Instant,
    request: ChannelRequest,
    owner: Guest | undefined,
    link: string,
  ): boolean {
    const { destination, client } = request;
    const { context, gateway, book } = this.deps;
    if (destination.proto !== 'tcp' || destination.port !== GUEST_API_PORT) return false;
    const { address } = destination;
    if (!address.equals(gateway) && !address.equals(ANY_GATEWAY)) return false;
    if (this.deps.isOpenTo?.(owner, link) === false) {
      request.refuse(now, 'prohibited', 'the policy does not allow the guest API');
      return true;
    }
    const agent = this.agentOf(link);
    if (this.holdsTooMuch(agent)) {
      request.refuse(now, 'limit', 'there are too many connections');
      return true;
    }
    const duplex = new ByteDuplex({ clock: context.clock, flusher: NO_FLUSH });
    const channel = request.accept(now, duplex);
    if (channel === undefined) return true;
    const remote = endOf(destination);
    const guest = client ?? UNKNOWN_END;
    const origin = { openedBy: 'guest', service: 'guest-api', guest, remote } as const;
    bookDuplex(book, duplex, owner, () => channelFacts(origin, channel, now));
    this.serve(duplex, agent, link, owner);
    duplex.join(channel);
    return true;
  }

  private agentOf(link: string): Owner {
    const known = this.agents.get(link);
    if (known !== undefined) return known;
    const owner = new Owner(`agent ${link}`);
    this.agents.set(link, owner);
    return owner;
  }

  private serve(duplex: Duplex, owner: Owner, by: Publisher, guest: Guest | undefined): void {
    const connection = new Connection(duplex, owner, by, guest, this.counts);
    this.connections.set(duplex, connection);
    this.sampler.require();
    duplex.on('error', () => {}); // reset, or gone: 'close' follows
    duplex.once('close', () => {
      this.connections.delete(duplex);
      if (connection.isHeld) this.addHeld(owner, -1);
      else this.clients.remove(connection);
    });
    if (!this.clients.add(this.deps.context.clock.now(), connection)) return;
    this.sweeper ??= setInterval(() => this.sweep(), SWEEP_MS).unref();
    this.admit(duplex);
  }

  /** What connections without a lease share. */
  get budget(): Budget {
    return this.clients.budget;
  }

  close(): void {
    clearInterval(this.sweeper);
    this.sampler.close();
    for (const duplex of this.connections.keys()) duplex.destroy();
  }

  private sweep(): void {
    this.clients.onTimeout(this.deps.context.clock.now());
    if (this.clients.size > 0) return;
    clearInterval(this.sweeper);
    this.sweeper = undefined;
  }

  /** A request has come, or its answer has gone: the deadline begins again, or the connection holds a lease now. */
  private onProgress(duplex: Duplex): void {
    const connection = this.connections.get(duplex);
    if (connection === undefined || connection.isHeld) return;
    if (!this.held.has(duplex)) {
      this.clients.use(this.deps.context.clock.now(), connection);
      return;
    }
    connection.isHeld = true;
    this.clients.remove(connection);
    this.addHeld(connection.owner, 1);
  }

  private addHeld(owner: Owner, n: number): void {
    const count = (this.heldBy.get(owner) ?? 0) + n;
    if (count === 0) this.heldBy.delete(owner);
    else this.heldBy.set(owner, count);
  }

  private holdsTooMuch(owner: Owner): boolean {
    if ((this.heldBy.get(owner) ?? 0) < this.limits.heldByGuest) return false;
    this.counts.add('refused');
    return true;
  }

  private connectionOf(request: IncomingMessage): Connection {
    const connection = this.connections.get(request.socket);
    if (connection === undefined) throw problem(400, 'The connection has ended.');
    return connection;
  }
}

/** A guest by its address, or an agent by the name of its link. */
type Publisher = IpAddress | string;

class Connection implements ServiceClient<Connection>, Chained<Connection> {
  chainNext: Connection | undefined = undefined;
  chainPrev: Connection | undefined = undefined;
  usedAt: Instant = 0;
  readonly owner: Owner;
  readonly by: Publisher;
  /** Undefined where it is not known which one an agent is in. */
  readonly guest: Guest | undefined;
  isHeld = false;
  private readonly duplex: Duplex;
  private readonly counts: Counters<GuestApiCount>;

  constructor(
    duplex: Duplex,
    owner: Owner,
    by: Publisher,
    guest: Guest | undefined,
    counts: Counters<GuestApiCount>,
  ) {
    this.duplex = duplex;
    this.owner = owner;
    this.by = by;
    this.guest = guest;
    this.counts = counts;
  }

  expire(): boolean {
    this.counts.add('late');
    this.duplex.destroy();
    return false;
  }

  evict(): void {
    this.counts.add('evicted');
    this.duplex.destroy();
  }
}

function guestRefusal({ headers, httpVersion }: IncomingMessage): ProblemError | undefined {
  const { host, origin } = headers;
  if (host === undefined && httpVersion !== '1.0') {
    return problem(400, 'The request has no Host header.'); // RFC 9112 §3.2
  }
  const name = (host ?? '').toLowerCase().replace(/:\d{1,5}$/, '');
  // Names of the local networks only: a name outside could be rebound by DNS.
  const isLocal =
    !name.includes('.') ||
    /\.(internal|testing|local)\.?$/.test(name) ||
    parseAddress(name.replace(/^\[|\]$/g, '')) !== undefined;
  if (!isLocal) return problem(403, `The Host ${quoted(host ?? '')} is not this API.`);
  return origin === undefined
    ? undefined
    : problem(403, `The Origin ${quoted(origin)} may not use this API.`);
}
