/**
 * The agent: links to the host, a dialler for the host's requests to the guest, and listeners for the
 * guest's requests to the host. It needs nothing but Node.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { ipv4 } from '../../base/ip-address.ts';
import type { Log } from '../../base/log.ts';
import type { Clock } from '../../base/time.ts';
import { type Destination, formatDestination } from '../../mux/destination.ts';
import { MadeDirectories } from '../../native/made-directories.ts';
import { acceptStreams } from '../../native/stream/accept-streams.ts';
import type { HostStream } from '../../native/stream/host-stream.ts';
import { listenOnUnixPath, PRIVATE_SOCKET_MODE } from '../../native/unix-listener.ts';
import { MuxCarrier } from '../../proxy/agent/mux-carrier.ts';
import { MuxPeers } from '../../proxy/agent/peers.ts';
import { TargetDialer } from '../../proxy/agent/target-dialer.ts';
import { isAllowed } from '../../proxy/agent/target-rules.ts';
import { FlowBook } from '../../proxy/flows/flow-book.ts';
import { NO_FLUSH } from '../../proxy/flush-scheduler.ts';
import { ByteDuplex } from '../../proxy/stream/byte-duplex.ts';
import { parseAddress } from '../../services/address-text.ts';
import type { OpenMuxLink } from '../../transports/mux/mux-link.ts';
import { dialStream, listenForPeers } from '../../transports/mux/stream-links.ts';
import { dialVsock, listenVsockLink } from '../../transports/mux/vsock-links.ts';
import { removeStaleSocket } from '../../transports/stale-socket.ts';
import { closeServer } from '../../transports/stream-server.ts';
import { type AgentRequest, type Forward, formatForward, type NamedLink } from './arguments.ts';
import { watchContainers } from './containers/container-ports.ts';
import { loadClusterLibrary } from './kubernetes/cluster.ts';
import { ClusterPorts } from './kubernetes/cluster-ports.ts';
import { ListeningPorts } from './listening/listening-ports.ts';

/** The host's, whatever the address of its gateway. */
const GUEST_API = { proto: 'tcp', address: ipv4(0), port: 80 } as const;

export interface AgentDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** The file that {@link loadClusterLibrary} loads. */
  readonly clusterLibrary: URL;
}

export class Agent {
  readonly peers: MuxPeers;
  readonly dialer: TargetDialer;
  private readonly request: AgentRequest;
  private readonly deps: AgentDeps;
  private readonly carrier: MuxCarrier;
  private readonly links: OpenMuxLink[] = [];
  private readonly servers: Server[] = [];
  private readonly watches: { close(): void }[] = [];
  private readonly listening: ListeningPorts | undefined;
  private readonly directories = new MadeDirectories();

  constructor(request: AgentRequest, deps: AgentDeps) {
    this.request = request;
    this.deps = deps;
    const { allow, plain } = request;
    const book = new FlowBook(deps.clock);
    this.listening = this.listeningPorts();
    this.dialer = new TargetDialer({
      ...deps,
      book,
      waysTo: (target) => this.listening?.waysTo(target),
      isAllowed: (target) =>
        allow === undefined || isAllowed(allow, this.listening?.insideOf(target) ?? target),
    });
    this.peers = new MuxPeers({
      ...deps,
      options: { extended: !plain },
      onRequest: (now, channelRequest, { link }) =>
        this.dialer.onRequest(now, channelRequest, link.name),
    });
    this.carrier = new MuxCarrier({ ...deps, peers: this.peers, book });
  }

  /** @throws Error that says what failed and what to do */
  async start(): Promise<void> {
    for (const link of this.request.listen) this.links.push(await this.listen(link));
    for (const forward of this.request.forwards) await this.forward(forward);
    for (const link of this.request.connect) this.links.push(this.connect(link));
    for (const path of this.request.watchDocker) {
      this.watches.push(watchContainers(path, this.openApi, this.deps.log));
    }
    this.listening?.start();
    if (this.request.watchKubernetes.length > 0) await this.watchClusters();
  }

  private async watchClusters(): Promise<void> {
    const { log, clusterLibrary } = this.deps;
    const library = await loadClusterLibrary(clusterLibrary);
    for (const kubeconfig of this.request.watchKubernetes) {
      const ports = new ClusterPorts({ log, connect: this.openApi, library, kubeconfig });
      this.watches.push(ports);
      ports.start();
    }
  }

  private listeningPorts(): ListeningPorts | undefined {
    const { listen, forwards, publishListening: rules } = this.request;
    if (rules === undefined) return undefined;
    const own = [
      ...listen.flatMap(({ spec }) => (spec.kind === 'tcp' ? [ownKey(spec.host, spec.port)] : [])),
      ...forwards.flatMap(({ local }) =>
        local.proto === 'tcp' ? [ownKey(local.address.toString(), local.port)] : [],
      ),
    ];
    const isOwn = (address: string, port: number): boolean => own.includes(ownKey(address, port));
    return new ListeningPorts({ ...this.deps, rules, isOwn, connect: () => this.openApi() });
  }

  /** A connection to the guest API of the host that is connected now. */
  private readonly openApi = (): Duplex | undefined => {
    const { clock } = this.deps;
    const peer = this.peers.current;
    if (peer === undefined) return undefined;
    const duplex = new ByteDuplex({ clock, flusher: NO_FLUSH });
    const channel = peer.mux.open(clock.now(), GUEST_API, duplex);
    if (channel === undefined) {
      duplex.destroy();
      return undefined;
    }
    return duplex.join(channel);
  };

  async close(): Promise<void> {
    for (const watch of this.watches) watch.close();
    this.listening?.close();
    for (const server of this.servers) void closeServer(server);
    for (const link of this.links) void link.close();
    this.carrier.close();
    this.dialer.close();
    this.peers.close();
    await new Promise(setImmediate); // pending writes of the links complete
    this.directories.remove();
  }

  private async listen({ text, spec }: NamedLink): Promise<OpenMuxLink> {
    const context = { ...this.deps, peers: this.peers, socketMode: PRIVATE_SOCKET_MODE };
    const link = { name: text, order: this.links.length };
    if (spec.kind === 'unix') {
      this.directories.makeFor(spec.path);
      return await listenForPeers(link, { path: spec.path }, context);
    }
    if (spec.kind === 'vsock') return await listenVsockLink(link, spec.port, context);
    const { host, port } = spec;
    return await listenForPeers(link, { host, port }, context, { admits: this.admits });
  }

  private connect({ text, spec }: NamedLink): OpenMuxLink {
    const context = { ...this.deps, peers: this.peers };
    const link = { name: text, order: this.links.length };
    if (spec.kind === 'unix') return dialStream(link, { path: spec.path }, context);
    if (spec.kind === 'vsock') return dialVsock(link, spec.cid ?? 2, spec.port, context);
    return dialStream(link, { host: spec.host, port: spec.port }, context);
  }

  /** The peer of a link may reach all of the guest, Unix sockets too, so access to links is restricted. */
  private readonly admits = (from: string): boolean => {
    const address = parseAddress(from)?.toString();
    const allowed = this.request.peers ?? defaultGateways();
    return address !== undefined && allowed.includes(address);
  };

  private async forward(forward: Forward): Promise<void> {
    const { local, remote } = forward;
    const onStream = (stream: HostStream): void => this.onForwarded(stream, remote);
    const what = `cannot forward ${formatForward(forward)}`;
    try {
      if (local.proto === 'unix') this.directories.makeFor(local.path);
      this.servers.push(await listenAt(local, onStream));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${what}: ${why}`, { cause });
    }
  }

  private onForwarded(stream: HostStream, remote: Destination): void {
    const from = parseAddress(stream.remoteAddress ?? '');
    const port = stream.remotePort;
    const client = from === undefined || port === undefined ? undefined : { address: from, port };
    if (this.carrier.splice(stream, remote, client, undefined, () => {})) return;
    const target = formatDestination(remote);
    this.deps.log.warn({ target }, 'client reset: no host is connected');
    stream.reset();
  }
}

const ownKey = (address: string, port: number): string =>
  `${parseAddress(address)?.toString() ?? address} ${port}`;

/** Half-open sockets, unlike those of links. A Unix socket is for its owner alone. */
async function listenAt(
  local: Destination,
  onStream: (stream: HostStream) => void,
): Promise<Server> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  if (local.proto === 'unix') {
    const taken = await removeStaleSocket(local.path);
    if (taken !== undefined) throw new Error(`${local.path} is ${taken}`);
  }
  const listening = new Promise<Server>((resolve, reject) => {
    server.once('error', reject);
    const done = (): void => {
      server.off('error', reject);
      const onFailed = (): void => {}; // an accept failed; the next one may not
      server.on('error', onFailed);
      acceptStreams(server, { onStream, onFailed });
      resolve(server);
    };
    server.once('listening', done);
    if (local.proto === 'unix') {
      listenOnUnixPath(server, { path: local.path }, PRIVATE_SOCKET_MODE);
    } else server.listen({ host: local.address.toString(), port: local.port });
  });
  return await listening;
}

/** Of the kernel's IPv4 routes. */
function defaultGateways(): readonly string[] {
  let table: string;
  try {
    table = readFileSync('/proc/net/route', 'latin1');
  } catch {
    return [];
  }
  return table
    .split('\n')
    .map((line) => line.split('\t'))
    .filter(([, destination, , flags]) => destination === '00000000' && Number(`0x${flags}`) & 2)
    .map(([, , gateway = '']) => {
      const bytes = Buffer.from(gateway, 'hex').reverse(); // the kernel prints the word as it is in memory
      return [...bytes].join('.');
    });
}
