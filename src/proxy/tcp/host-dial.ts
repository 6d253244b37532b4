/** One connect for a guest's SYN: to one address, and where nobody listens there, to a second one. */
import type { Chained } from '../../base/chain.ts';
import type { Instant } from '../../base/time.ts';
import { type ConnectOptions, connectStream } from '../../native/stream/connect-stream.ts';
import type { Connecting, ConnectOwner, HostStream } from '../../native/stream/host-stream.ts';
import type { TcpRequest } from '../../stack/flow.ts';
import type { HostLoopback, Outside } from '../flows/destination.ts';
import type { Flow, FlowFacts, FlowSource, FlowVerdict } from '../flows/flow.ts';
import { type StreamOrigin, tcpFacts } from '../flows/stream-facts.ts';
import type { AnyVia, Tunnelling } from '../flows/via.ts';
import type { NameCheck } from '../inspect/name-check.ts';

const BY_GUEST: StreamOrigin = { openedBy: 'guest' };

/** Of a loopback: no listener, or no such address. */
const NOBODY_THERE: ReadonlySet<string> = new Set([
  ...['ECONNREFUSED', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'ENETUNREACH'],
]);

export interface HostDialOwner {
  connected(dial: HostDial, stream: HostStream): void;
  failed(dial: HostDial, code: string): void;
  /** The guest has given up. */
  cancelled(dial: HostDial): void;
}

export class HostDial implements ConnectOwner, Chained<HostDial>, FlowSource {
  chainNext: HostDial | undefined = undefined;
  chainPrev: HostDial | undefined = undefined;
  readonly request: TcpRequest;
  readonly startedAt: Instant;
  readonly check: NameCheck | undefined;
  private readonly verdict: FlowVerdict | undefined;
  /** In the book. */
  entry: Flow | undefined = undefined;
  /** What the connect is to. */
  host: string;
  private readonly port: number;
  private second: string | undefined;
  private readonly isElsewhere: boolean;
  private readonly insteadOf: string | undefined;
  private firstCode = '';
  private readonly options: ConnectOptions;
  private readonly via: AnyVia | undefined;
  private readonly owner: HostDialOwner;
  private connecting: Connecting;
  private tunnelling: Tunnelling | undefined = undefined;

  constructor(
    owner: HostDialOwner,
    now: Instant,
    request: TcpRequest,
    to: HostLoopback | Outside,
    options: ConnectOptions,
  ) {
    this.check = to.check;
    this.verdict = to.verdict;
    this.startedAt = now;
    this.owner = owner;
    this.request = request;
    this.host = to.address;
    const { remotePort } = request.id;
    this.port = to.kind === 'outside' ? (to.port ?? remotePort) : remotePort;
    this.second = to.kind === 'outside' ? undefined : to.twin;
    this.isElsewhere = to.kind !== 'outside' || to.isTranslated;
    this.insteadOf = to.kind === 'outside' ? to.insteadOf : undefined;
    this.options = options;
    this.via = to.via;
    this.connecting = this.connect();
    request.onCancelled = (): void => this.cancel();
  }

  get origin(): StreamOrigin {
    const { isElsewhere, verdict, insteadOf, via } = this;
    if (!isElsewhere && verdict === undefined && via === undefined) return BY_GUEST;
    const dialled = isElsewhere ? this.host : undefined;
    return { openedBy: 'guest', dialled, insteadOf, verdict, proxy: via?.proxy };
  }

  /** What came behind the answer of a proxy. */
  get early(): Uint8Array | undefined {
    return this.tunnelling?.early;
  }

  onConnected(stream: HostStream): void {
    this.request.onCancelled = undefined;
    this.owner.connected(this, stream);
  }

  onConnectFailed(code: string): void {
    const { second } = this;
    if (second !== undefined && NOBODY_THERE.has(code)) {
      this.second = undefined;
      this.firstCode = code;
      this.host = second;
      this.connecting = this.connect();
      return;
    }
    this.request.onCancelled = undefined;
    this.owner.failed(this, this.firstCode === 'ECONNREFUSED' ? this.firstCode : code);
  }

  /** Give the socket back: to the guest it is as if nobody had answered. */
  evict(): void {
    this.request.onCancelled = undefined;
    this.connecting.cancel();
    this.owner.failed(this, 'ETIMEDOUT');
  }

  describeFlow(): FlowFacts {
    return tcpFacts(this.request.id, this.origin, undefined, this.startedAt);
  }

  endFlow(): void {
    this.request.onCancelled = undefined;
    this.connecting.cancel();
    this.owner.failed(this, 'ECONNREFUSED');
  }

  private connect(): Connecting {
    const { host, port, options, via } = this;
    if (via !== undefined) {
      this.tunnelling = via.connect(this);
      return this.tunnelling;
    }
    return connectStream({ host, port }, this, options);
  }

  private cancel(): void {
    this.connecting.cancel();
    this.owner.cancelled(this);
  }
}
