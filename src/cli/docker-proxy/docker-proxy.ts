/**
 * One published port of a container: a lease on the host, and sockets of the guest that lead to the
 * container. How a client's bytes reach the container, by the host address that was requested:
 *
 * | `-p`                 | hawser dials           | what forwards it there         | the container sees |
 * |----------------------|------------------------|--------------------------------|--------------------|
 * | `8080:80`, 0.0.0.0   | the guest's port 8080  | dockerd's DNAT rule            | the real client    |
 * | the same, its `::`   | the guest's port 8080  | the same rule                  | the gateway        |
 * | the same, no iptables| the guest's port 8080  | our local listener             | docker0's address  |
 * | `127.0.0.1:8080:80`, any one address | a port picked by us | our landing listener  | docker0's address  |
 * | any, by the agent    | the container, by the agent |                           | docker0's address  |
 *
 * dockerd's rule for one address matches only packets to that address, which is the host's and not the
 * guest's; that is why such a port needs a landing. Only the gateway may use the landing: what is
 * published on the host's loopback is not for other guests.
 *
 * The local listener serves the guest itself (127.0.0.1:8080 inside), and everybody where dockerd runs
 * with `--iptables=false`. With DNAT on it is unused: the rule applies first.
 */
import { closeSync } from 'node:fs';
import type { ProxyRequest } from './arguments.ts';
import {
  agentSocket,
  type ControlEndpoint,
  currentRoutes,
  guestApi,
  parseEndpoint,
  uplinkAddress,
} from './endpoint.ts';
import { UnreachableError } from './exchange.ts';
import {
  LEASE_TIMES,
  Lease,
  type LeaseTimes,
  listPorts,
  member,
  type RefusedError,
} from './lease.ts';
import { type Listening, listen } from './listening.ts';

const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
/** How a host without IPv6 answers, and one whose rules leave guests without it. */
const NO_IPV6: ReadonlySet<string> = new Set([
  'EADDRNOTAVAIL',
  'EAFNOSUPPORT',
  'EINVAL',
  'ERR_HAWSER_PUBLISH_FORBIDDEN',
]);
/** Where a guest's `::` is published: the host may narrow it to its loopback. */
const COVERS_IPV6: ReadonlySet<string> = new Set(['::', '::1', '*']);

/** The port cannot be served; the message is for the user of `docker run`. */
export class DockerProxyError extends Error {
  readonly code = 'ERR_HAWSER_DOCKER_PROXY';
}

export class DockerProxy {
  private readonly request: ProxyRequest;
  private readonly lease: Lease;
  private readonly say: (line: string) => void;
  private local: Listening | undefined;
  private landing: Listening | undefined;
  private readonly named: ControlEndpoint | undefined;
  /** The clients that the landing serves; read again for each publication. */
  private gateways: Set<string> = new Set();

  /** @throws EndpointError when the named control address cannot be used */
  constructor(request: ProxyRequest, say: (line: string) => void, times: LeaseTimes = LEASE_TIMES) {
    this.request = request;
    this.say = say;
    const { control, controlTokenFile } = request;
    this.named = control === undefined ? undefined : parseEndpoint(control, controlTokenFile);
    this.lease = new Lease(
      {
        endpoints: () => this.endpoints(),
        ask: (endpoint) => this.body(endpoint),
        isCovered: (endpoint, refused) => this.isCovered(endpoint, refused),
        say,
      },
      times,
    );
  }

  /**
   * Returns when clients can come.
   *
   * @throws Error whose message is for the user; everything is closed then
   */
  async start(): Promise<void> {
    try {
      await this.listenLocally();
      if (this.needsLanding) this.landing = await this.land();
      await this.publish();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.lease.close();
    this.local?.close();
    this.landing?.close();
  }

  private async publish(): Promise<void> {
    try {
      await this.lease.open();
    } catch (error) {
      const isAlone = error instanceof UnreachableError && this.request.local === 'always';
      if (!isAlone) throw error;
      this.say(`${error.message}; serving inside the guest meanwhile`);
      this.lease.retry();
    }
  }

  private get container(): { readonly address: string; readonly port: number } {
    return { address: this.request.containerAddress, port: this.request.containerPort };
  }

  private async listenLocally(): Promise<void> {
    const { local, listenFd, protocol, hostAddress, hostPort } = this.request;
    if (local === 'never') {
      if (listenFd !== undefined) closeSync(listenFd); // or its backlog would swallow connections
      return;
    }
    const bound = listenFd === undefined ? {} : { fd: listenFd };
    const at = { address: hostAddress, port: hostPort, ...bound };
    try {
      this.local = await listen(protocol, at, this.container);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (local === 'always') {
        throw new DockerProxyError(`cannot listen inside the guest: ${why}`, { cause: error });
      }
      this.say(`not listening inside the guest: ${why}`);
    }
  }

  private get needsLanding(): boolean {
    return this.named?.carrier !== 'mux' && !EVERY_ADDRESS.has(this.request.hostAddress);
  }

  private async land(): Promise<Listening> {
    const isGateway = (client: string): boolean => this.gateways.has(client);
    const at = { address: '0.0.0.0', port: 0 };
    try {
      return await listen(this.request.protocol, at, this.container, isGateway);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new DockerProxyError(`cannot take connections for the container: ${why}`, {
        cause: error,
      });
    }
  }

  private endpoints(): readonly ControlEndpoint[] {
    if (this.named !== undefined) return [this.named];
    const found = [...agentSocket(), ...currentRoutes().map(guestApi)];
    if (found.length > 0) return found;
    throw new UnreachableError(
      'ENETUNREACH',
      'cannot publish: the guest has no default route and no agent, so hawser is not found; set HAWSER_CONTROL to its control socket',
    );
  }

  private body(endpoint: ControlEndpoint): object {
    this.gateways = new Set(currentRoutes().map(({ gateway }) => gateway));
    if (endpoint.kind === 'tcp') this.gateways.add(endpoint.host);
    const { protocol, hostAddress, hostPort, sourceAddress } = this.request;
    const common = { protocol, hostAddress, hostPort, lease: 'connection' };
    const target = this.target(endpoint);
    if (endpoint.carrier === 'mux') return { ...common, ...target, via: 'mux' };
    const isGateway = this.landing !== undefined || sourceAddress === 'gateway';
    return { ...common, ...target, ...(isGateway ? { sourceAddress: 'gateway' } : {}) };
  }

  /** What the host dials. */
  private target(endpoint: ControlEndpoint): {
    readonly guestAddress?: string;
    readonly guestPort: number;
  } {
    if (endpoint.carrier === 'mux') {
      const { address, port } = this.container;
      return { guestAddress: address, guestPort: port };
    }
    const guestPort = this.landing?.port ?? this.request.hostPort;
    return { ...this.guestAddress(endpoint), guestPort };
  }

  /** The guest API uses the caller's address; the host's API needs it as a parameter. */
  private guestAddress(endpoint: ControlEndpoint): { readonly guestAddress?: string } {
    const isGuestApi = endpoint.kind === 'tcp' && endpoint.token === undefined;
    const guestAddress = isGuestApi ? undefined : uplinkAddress(currentRoutes()[0]);
    return guestAddress === undefined ? {} : { guestAddress };
  }

  /**
   * dockerd starts a second process with `::` for every port on 0.0.0.0. It fails only where a user
   * would miss something: not on a host without IPv6, nor where guests may use only IPv4, nor where
   * this port is served on IPv6 already; provided that the host lists the port.
   */
  private async isCovered(endpoint: ControlEndpoint, refused: RefusedError): Promise<boolean> {
    const { protocol, hostAddress, hostPort } = this.request;
    const inUse = refused.code === 'EADDRINUSE';
    if (hostAddress !== '::' || !(inUse || NO_IPV6.has(refused.code))) return false;
    const wanted = { protocol, hostPort, ...this.target(endpoint) };
    return (await listPorts(endpoint)).some((port) => {
      const at = member(port, 'hostAddress');
      return (
        Object.entries(wanted).every(([key, value]) => member(port, key) === value) &&
        (!inUse || (typeof at === 'string' && COVERS_IPV6.has(at)))
      );
    });
  }
}
