/**
 * The API that guests reach at `http://GATEWAY/`: `/v1/ports`, and the ports of gvproxy's and VPNKit's APIs,
 * each guest for itself. The agent's channels to the gateway's port reach it too: their clients publish
 * through the agent.
 *
 * Node's HTTP server runs on the stack's own connections, and on channels. Guests are hostile: a connection that holds no
 * lease has a deadline for its request and its answer, whatever it sends; connections are
 * bounded for each guest and in total; leases are bounded by the table's ports of one guest. A guest is
 * identified by its address; all clients of the agent count as one. Browsers are kept out: they send an Origin with
 * every request that changes something.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { IpAddress } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Instant } from '../../base/time.ts';
import type { ChannelRequest } from '../../mux/request.ts';
import { acceptStream } from '../../proxy/mux/channel-stream.ts';
import type { PortBook } from '../../proxy/ports/port-table.ts';
import { ByteDuplex, type DuplexContext, namesOf } from '../../proxy/stream/byte-duplex.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { TcpRequest } from '../../stack/flow.ts';
import { createApiServer } from '../api-server.ts';
import type { HeldConnections } from '../held-connections.ts';
import { type ProblemError, problem, quoted } from '../problem.ts';
import type { BindRule } from './bind-rules.ts';
import { AgentAccess, GuestAccess } from './port-access.ts';
import { PORT_ROUTES } from './port-routes.ts';

export const GUEST_API_PORT = 80;

export interface GuestApiLimits {
  /** Connections of one guest, and in total, that hold no lease. */
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

/** A guest by its address, or the clients of the agent. */
type Caller = IpAddress | 'agent';

export interface GuestApiDeps {
  readonly ports: PortBook;
  /** Of a channel that is meant for this API. */
  readonly gateway: IpAddress;
  readonly rules: readonly BindRule[];
  readonly context: DuplexContext;
  readonly version: string;
  readonly log: Log;
}

export class GuestApi {
  private readonly deps: GuestApiDeps;
  private readonly limits: GuestApiLimits;
  private readonly connections = new Map<Duplex, Connection>();
  private readonly held: HeldConnections;
  private readonly admit: (connection: Duplex) => void;

  constructor(deps: GuestApiDeps, limits: GuestApiLimits = GUEST_API_LIMITS) {
    this.deps = deps;
    this.limits = limits;
    const { ports, rules, version, log } = deps;
    const { server, held } = createApiServer(
      {
        routes: PORT_ROUTES,
        version,
        refusal: guestRefusal,
        target: (request) => {
          const caller = this.callerOf(request);
          const isAgent = caller === 'agent';
          return {
            ports: isAgent ? new AgentAccess(ports, rules) : new GuestAccess(ports, rules, caller),
          };
        },
      },
      log,
    );
    server.keepAliveTimeout = 0; // the deadline does it
    this.held = held;
    this.admit = (connection) => server.emit('connection', connection);
    server.on('request', (request, response) => {
      this.connections.get(request.socket)?.restart();
      response.once('finish', () => this.connections.get(request.socket)?.restart());
    });
  }

  /** A guest connects. */
  onRequest(now: Instant, request: TcpRequest): void {
    if (!this.hasRoom(request.id.guest)) {
      request.refuse(now, 'refused');
      return;
    }
    const duplex = new ByteDuplex(this.deps.context, namesOf(request.id));
    const flow = request.accept(now, duplex);
    if (flow === undefined) {
      duplex.destroy();
      return;
    }
    this.serve(duplex, request.id.guest);
    duplex.join(flow);
  }

  /** The agent opens a channel. @returns false when it is not meant for this API */
  onChannel(now: Instant, request: ChannelRequest): boolean {
    const { proto } = request.destination;
    if (proto !== 'tcp' || request.destination.port !== GUEST_API_PORT) return false;
    const { context, gateway } = this.deps;
    if (!request.destination.address.equals(gateway)) return false;
    if (!this.hasRoom('agent')) {
      request.refuse(now, 'limit', 'there are too many connections');
      return true;
    }
    const stream = acceptStream(context.clock, request);
    if (stream !== undefined) this.serve(stream, 'agent');
    return true;
  }

  private serve(duplex: Duplex, caller: Caller): void {
    const onLate = (): void => {
      if (!this.held.has(duplex)) duplex.destroy();
    };
    const connection = new Connection(caller, this.limits.deadlineMs, onLate);
    this.connections.set(duplex, connection);
    duplex.on('error', () => {}); // reset, or gone: 'close' follows
    duplex.once('close', () => {
      connection.end();
      this.connections.delete(duplex);
    });
    this.admit(duplex);
  }

  close(): void {
    for (const duplex of this.connections.keys()) duplex.destroy();
  }

  private hasRoom(caller: Caller): boolean {
    let own = 0;
    let held = 0;
    let total = 0;
    for (const [duplex, connection] of this.connections) {
      const isHeld = this.held.has(duplex);
      if (!isHeld) total++;
      if (!isSameCaller(connection.caller, caller)) continue;
      if (isHeld) held++;
      else own++;
    }
    const { limits } = this;
    return own < limits.ofGuest && held < limits.heldByGuest && total < limits.total;
  }

  private callerOf(request: IncomingMessage): Caller {
    const connection = this.connections.get(request.socket);
    if (connection === undefined) throw problem(400, 'The connection has ended.');
    return connection.caller;
  }
}

const isSameCaller = (one: Caller, other: Caller): boolean =>
  one === other || (one !== 'agent' && other !== 'agent' && one.equals(other));

/** A guest's connection and its deadline, which begins again with each request and answer. */
class Connection {
  readonly caller: Caller;
  private readonly deadlineMs: number;
  private readonly onLate: () => void;
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(caller: Caller, deadlineMs: number, onLate: () => void) {
    this.caller = caller;
    this.deadlineMs = deadlineMs;
    this.onLate = onLate;
    this.restart();
  }

  restart(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.onLate, this.deadlineMs);
    this.timer.unref();
  }

  end(): void {
    clearTimeout(this.timer);
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
