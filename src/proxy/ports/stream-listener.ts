/**
 * One published TCP port or Unix socket. A client's connection is accepted by the host's kernel, and passed,
 * unread, to the code that dials the guest and pumps the bytes; a backend that refuses resets the client, so
 * that no client is connected to nothing.
 */
import { createServer, type ListenOptions, type Server } from 'node:net';
import { reportFault } from '../../base/faults.ts';
import { errorCode } from '../../native/errors.ts';
import { MadeDirectories } from '../../native/made-directories.ts';
import { acceptStreams } from '../../native/stream/accept-streams.ts';
import type { HostStream } from '../../native/stream/host-stream.ts';
import { listenOnUnixPath, PRIVATE_SOCKET_MODE } from '../../native/unix-listener.ts';
import { parseAddress } from '../../services/address-text.ts';
import { type ProxiedConnection, proxyHeader } from '../../wire/proxy-protocol.ts';
import type { AddressMap } from '../address-map.ts';
import type { ClientAttempt, FlowGate } from '../flows/flow-gate.ts';
import type { PublishedClient } from '../tcp/guest-dial.ts';
import type { AgentCarrier, AgentClient, AgentTarget, PublishedListener } from './agent-carrier.ts';
import { clientSource, familyOf, unixClientPort } from './client-source.ts';
import type { GuestTarget } from './publication-guest.ts';
import {
  listenError,
  PublishError,
  type SocketSpec,
  type SourceAddress,
  type UnixSpec,
} from './publish-spec.ts';
import type { SshRoute } from './ssh-carrier.ts';

/**
 * Connect the client to the guest. When the guest refuses at all of its addresses, the client is reset.
 *
 * @returns false when the stack can create no flow: nothing was started, and `onEnd` is not called
 */
export type ServeTcp = (client: PublishedClient) => boolean;

/** Why the path for a Unix socket is not free. */
export type PlaceTaken = 'live' | 'not-a-socket';

export interface StreamListenerDeps {
  readonly serve: ServeTcp;
  /** Asked about each client, which is not read meanwhile. */
  readonly gate?: FlowGate | undefined;
  /** Its id. */
  readonly publication: string;
  /** Undefined: no agent serves it. */
  readonly agent: AgentCarrier | undefined;
  readonly addresses: AddressMap;
  readonly guest: GuestTarget;
  /** Undefined: it does not lead through the guest's SSH server. */
  readonly ssh?: SshRoute | undefined;
  /** Remove the socket at a path if no process serves it. */
  readonly freePath: (path: string) => Promise<PlaceTaken | undefined>;
  readonly connections: number;
  readonly sourceAddress: SourceAddress;
  /** Idle time before a client is probed, in s. */
  readonly keepaliveS: number;
}

const BACKLOG = 1024;

export class StreamListener implements PublishedListener {
  hostPort = 0;
  private boundAddress = '';
  /** Connections being served, accepted so far, and refused for lack of a guest or of room. */
  active = 0;
  accepted = 0;
  refused = 0;
  private readonly deps: StreamListenerDeps;
  private readonly spec: SocketSpec | UnixSpec;
  private readonly server: Server;
  private readonly directories = new MadeDirectories();

  constructor(deps: StreamListenerDeps, spec: SocketSpec | UnixSpec) {
    this.deps = deps;
    this.spec = spec;
    this.server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  }

  /** @throws PublishError */
  async listen(): Promise<void> {
    const { spec } = this;
    if (spec.protocol === 'unix') {
      try {
        await this.listenUnix(spec.hostPath);
      } catch (error) {
        this.directories.remove();
        throw error;
      }
      return;
    }
    const { hostAddress, hostPort } = spec;
    const common = { port: hostPort, backlog: BACKLOG, exclusive: true };
    if (hostAddress !== undefined) {
      await this.listenTcp({ ...common, host: hostAddress.toString(), ipv6Only: true });
    } else {
      try {
        await this.listenTcp({ ...common, host: '::', ipv6Only: false });
      } catch (error) {
        if (!isWithoutIpv6(error)) throw error;
        await this.listenTcp({ ...common, host: '0.0.0.0' });
      }
    }
    const address = this.server.address();
    if (typeof address !== 'object' || address === null) return;
    this.hostPort = address.port;
    this.boundAddress = parseAddress(withoutZone(address.address))?.toString() ?? '';
  }

  isAt(address: string, port: number): boolean {
    return port === this.hostPort && address === this.boundAddress;
  }

  stop(): void {
    if (this.server.listening) this.server.close(); // removes a socket at once
    this.directories.remove();
    this.deps.ssh?.release();
  }

  private async listenUnix(path: string): Promise<void> {
    try {
      this.directories.makeFor(path);
      const taken = await this.deps.freePath(path);
      if (taken !== undefined) {
        throw listenError(this.spec, taken === 'live' ? 'EADDRINUSE' : 'EEXIST');
      }
    } catch (error) {
      throw error instanceof Error ? this.inWords(error) : error;
    }
    const options = { path, backlog: BACKLOG, exclusive: true };
    await this.bind(() => listenOnUnixPath(this.server, options, PRIVATE_SOCKET_MODE));
  }

  private listenTcp(options: ListenOptions): Promise<void> {
    return this.bind(() => this.server.listen(options));
  }

  private bind(listen: () => void): Promise<void> {
    const { server } = this;
    return new Promise((resolve, reject) => {
      server.once('error', (error) => {
        server.removeAllListeners('listening');
        reject(this.inWords(error));
      });
      server.once('listening', () => {
        server.removeAllListeners('error');
        const onFailed = (): void => {
          this.refused++; // an accept failed; the next one may not
        };
        server.on('error', onFailed);
        const onStream = (stream: HostStream): void => this.onConnection(stream);
        acceptStreams(server, { onStream, onFailed }, { keepaliveS: this.deps.keepaliveS });
        resolve();
      });
      listen();
    });
  }

  private inWords(error: Error): Error {
    return error instanceof PublishError ? error : listenError(this.spec, errorCode(error), error);
  }

  private onConnection(stream: HostStream): void {
    this.accepted++;
    const { spec, deps } = this;
    const isGone = spec.protocol !== 'unix' && stream.remoteAddress === undefined;
    if (isGone || this.active >= deps.connections) {
      this.refuse(stream);
      return;
    }
    this.active++;
    const onEnd = (): void => {
      this.active--;
    };
    if (deps.gate === undefined) this.begin(stream, onEnd);
    else this.askAbout(deps.gate, stream, onEnd);
  }

  private begin(stream: HostStream, onEnd: () => void): void {
    if (this.serve(stream, onEnd)) return;
    if (this.deps.ssh !== undefined) {
      this.turnAway(stream, onEnd); // its clients wait for the guest by themselves: there is no room
      return;
    }
    // The kernel reports the client before the link that its guest has connected to earlier, when both are new to a turn.
    setImmediate(() => this.beginAgain(stream, onEnd));
  }

  private beginAgain(stream: HostStream, onEnd: () => void): void {
    try {
      if (this.server.listening && this.serve(stream, onEnd)) return;
    } catch (fault) {
      reportFault('accept', fault);
    }
    this.turnAway(stream, onEnd); // no guest yet, no agent, or no flow available
  }

  private turnAway(stream: HostStream, onEnd: () => void): void {
    onEnd();
    this.refuse(stream);
  }

  private askAbout(gate: FlowGate, stream: HostStream, onEnd: () => void): void {
    const { spec, deps } = this;
    const { protocol, guestPort } = spec;
    const client: ClientAttempt = {
      publication: deps.publication,
      protocol,
      guestPort,
      address: protocol === 'unix' ? undefined : stream.remoteAddress,
      port: protocol === 'unix' ? undefined : stream.remotePort,
      guest: deps.guest.address,
    };
    gate.askClient(client, (denial) => {
      if (denial === undefined) {
        this.begin(stream, onEnd);
        return;
      }
      this.turnAway(stream, onEnd);
    });
  }

  private serve(stream: HostStream, onEnd: () => void): boolean {
    const { ssh, agent } = this.deps;
    if (ssh !== undefined) return ssh.serve(stream, onEnd);
    return agent === undefined ? this.dial(stream, onEnd) : this.serveByAgent(agent, stream, onEnd);
  }

  private dial(stream: HostStream, onEnd: () => void): boolean {
    const { addresses, serve, publication, sourceAddress } = this.deps;
    const { spec } = this;
    const { remoteAddress } = stream;
    const family = familyOf(remoteAddress);
    const how = spec.sourceAddress ?? sourceAddress;
    return serve({
      stream,
      ends: this.deps.guest.addressesFor(family).map((guest) => ({
        guest,
        remote: clientSource(addresses, remoteAddress, guest.family, how),
      })),
      guestPort: spec.guestPort,
      clientPort: stream.remotePort ?? unixClientPort(),
      preface: this.preface(stream),
      publication,
      onEnd,
    });
  }

  private serveByAgent(agent: AgentCarrier, stream: HostStream, onEnd: () => void): boolean {
    const { spec, deps } = this;
    const target: AgentTarget =
      spec.guestPath === undefined
        ? { kind: 'port', address: spec.guestAddress, port: spec.guestPort }
        : { kind: 'path', path: spec.guestPath };
    const how = spec.sourceAddress ?? deps.sourceAddress;
    const client = how === 'preserve' ? clientOf(stream) : undefined;
    return agent.serve(stream, target, client, this.preface(stream), onEnd, deps.publication);
  }

  /** The PROXY protocol carries the real client, whatever the connection's source is. */
  private preface(stream: HostStream): Uint8Array | undefined {
    const { proxyProtocol } = this.spec;
    if (proxyProtocol === undefined) return undefined;
    return proxyHeader(proxyProtocol, connectionOf(stream));
  }

  private refuse(stream: HostStream): void {
    this.refused++;
    stream.reset();
  }
}

function isWithoutIpv6(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL';
}

function clientOf(stream: HostStream): AgentClient | undefined {
  const address = parseAddress(withoutZone(stream.remoteAddress ?? ''));
  const port = stream.remotePort;
  return address === undefined || port === undefined ? undefined : { address, port };
}

function connectionOf(stream: HostStream): ProxiedConnection | undefined {
  const from = clientOf(stream);
  const server = parseAddress(withoutZone(stream.localAddress ?? ''));
  const serverPort = stream.localPort;
  if (from === undefined || server === undefined || serverPort === undefined) return undefined;
  return { client: from.address, clientPort: from.port, server, serverPort };
}

/** `fe80::1` of `fe80::1%eth0`. */
const withoutZone = (text: string): string => text.split('%', 1)[0] ?? text;
