/**
 * A connection through a proxy: to the proxy, then the exchange in which it is asked for the destination. The stream is
 * handed on, paused, once the proxy has granted it, and not before; what the destination has sent by then is `early`.
 *
 * The proxy is not trusted to answer: everything together has {@link PATIENCE_MS}, and an answer its limit of bytes.
 */
import { reportFault } from '../../base/faults.ts';
import { type ConnectOptions, connectStream } from '../../native/stream/connect-stream.ts';
import type {
  Connecting,
  ConnectOwner,
  HostStream,
  HostStreamOwner,
} from '../../native/stream/host-stream.ts';
import {
  type Handshake,
  type HandshakeStep,
  isFailure,
  type ProxyFailure,
  proxyFailure,
} from '../../services/upstream-proxy/handshake.ts';
import type { ProxyServer } from '../../services/upstream-proxy/proxy-server.ts';
import type { Tunnelling } from '../flows/via.ts';
import type { HostLookup } from '../host-lookup.ts';
import { FirstAddress } from './first-address.ts';
import type { ProxyReach } from './proxy-reach.ts';

export const PATIENCE_MS = 10_000;
const NOTHING = new Uint8Array(0);

export interface ProxyDialDeps {
  readonly names: HostLookup;
  readonly options: ConnectOptions;
  readonly patienceMs?: number | undefined;
  readonly reach?: ProxyReach | undefined;
}

/** A name or an address and a port, or a Unix socket. */
export type ProxyPlace = ProxyServer | { readonly path: string };

export class ProxyDial implements Tunnelling, ConnectOwner, HostStreamOwner {
  early: Uint8Array = NOTHING;
  /** Once it has failed. */
  failure: ProxyFailure | undefined = undefined;
  private readonly deps: ProxyDialDeps;
  private readonly server: ProxyPlace;
  private readonly handshake: Handshake;
  private readonly owner: ConnectOwner;
  private readonly timer: NodeJS.Timeout;
  private connecting: Connecting | undefined = undefined;
  private stream: HostStream | undefined = undefined;
  /** What waits for the write before it. */
  private unsent: Uint8Array[] = [];
  private isWriting = false;
  /** `granted`: the stream is handed on at the end of this turn. */
  private state: 'asking' | 'granted' | 'over' = 'asking';

  constructor(deps: ProxyDialDeps, server: ProxyPlace, handshake: Handshake, owner: ConnectOwner) {
    const { patienceMs = PATIENCE_MS } = deps;
    this.deps = deps;
    this.server = server;
    this.handshake = handshake;
    this.owner = owner;
    this.timer = setTimeout(() => {
      if (this.stream === undefined) this.missed('ETIMEDOUT');
      this.fail(proxyFailure('ETIMEDOUT', `the proxy does not answer within ${patienceMs} ms`));
    }, patienceMs).unref();
    if ('path' in server) {
      this.connecting = connectStream(server, this, deps.options);
      return;
    }
    const { host, port } = server;
    deps.names.resolve(host, (found) => {
      if (typeof found === 'string') {
        const text = `the proxy's name ${host} cannot be resolved: ${found}`;
        this.missed(found);
        setImmediate(() => this.fail(proxyFailure('EHOSTUNREACH', text)));
        return;
      }
      if (this.state === 'asking') this.connecting = this.connectTo(found, port);
    });
  }

  cancel(): void {
    if (this.state === 'over') return;
    this.finish('over');
    this.connecting?.cancel();
    this.stream?.reset();
  }

  onConnected(stream: HostStream): void {
    this.connecting = undefined;
    if (!('path' in this.server)) this.deps.reach?.found(this.server);
    this.stream = stream;
    stream.start(this);
    this.send(this.handshake.hello);
  }

  onConnectFailed(code: string): void {
    this.connecting = undefined;
    this.missed(code);
    this.fail(proxyFailure('EHOSTUNREACH', `the proxy cannot be reached: ${code}`));
  }

  onHostBytes(bytes: Uint8Array, len: number): boolean {
    if (this.state !== 'asking') return false;
    this.take(this.handshake.push(bytes, 0, len), bytes, len);
    return this.isAsking;
  }

  onHostEnd(): void {
    this.fail(proxyFailure('EHOSTUNREACH', 'the proxy has ended the connection without an answer'));
  }

  onHostWritten(): void {
    this.isWriting = false;
    const next = this.unsent.shift();
    if (next !== undefined) this.send(next);
  }

  onHostClosed(code: string | undefined): void {
    const why = code ?? 'without an answer';
    this.fail(proxyFailure('EHOSTUNREACH', `the proxy has closed the connection: ${why}`));
  }

  private missed(code: string): void {
    if (!('path' in this.server)) this.deps.reach?.missed(this.server, code);
  }

  private connectTo(addresses: readonly string[], port: number): Connecting {
    const { options } = this.deps;
    return new FirstAddress<HostStream>(
      addresses,
      (host, attempt) => connectStream({ host, port }, attempt, options),
      this,
    );
  }

  private take(step: HandshakeStep, bytes: Uint8Array, len: number): void {
    if (step === 'more') return;
    if (isFailure(step)) {
      this.fail(step);
      return;
    }
    if ('send' in step) {
      this.send(step.send);
      return;
    }
    this.early = bytes.slice(step.at, len);
    this.finish('granted');
    setImmediate(() => this.handOn()); // not from within the read, which is stopped behind it
  }

  private handOn(): void {
    const { stream } = this;
    if (this.state !== 'granted' || stream === undefined) return;
    this.state = 'over';
    try {
      this.owner.onConnected(stream);
    } catch (fault) {
      reportFault('proxy', fault);
      stream.reset();
    }
  }

  private send(bytes: Uint8Array): void {
    if (this.isWriting) this.unsent.push(bytes);
    else this.isWriting = this.stream?.write(bytes) === false;
  }

  private fail(failure: ProxyFailure): void {
    if (this.state === 'over') return;
    this.finish('over');
    this.failure = failure;
    this.connecting?.cancel();
    this.stream?.reset();
    try {
      this.owner.onConnectFailed(failure.code);
    } catch (fault) {
      reportFault('proxy', fault);
    }
  }

  private get isAsking(): boolean {
    return this.state === 'asking';
  }

  private finish(state: 'granted' | 'over'): void {
    this.state = state;
    clearTimeout(this.timer);
  }
}
