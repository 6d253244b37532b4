/** One connect for a guest's SYN. */
import type { Chained } from '../../base/chain.ts';
import type { Instant } from '../../base/time.ts';
import { type ConnectOptions, connectStream } from '../../native/stream/connect-stream.ts';
import type { Connecting, ConnectOwner, HostStream } from '../../native/stream/host-stream.ts';
import type { TcpRequest } from '../../stack/flow.ts';
import type { Flow, FlowFacts, FlowSource } from '../flows/flow.ts';
import { tcpFacts } from '../flows/stream-facts.ts';

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
  /** In the book. */
  entry: Flow | undefined = undefined;
  private readonly owner: HostDialOwner;
  private readonly connecting: Connecting;

  constructor(
    owner: HostDialOwner,
    now: Instant,
    request: TcpRequest,
    host: string,
    options: ConnectOptions,
  ) {
    this.startedAt = now;
    this.owner = owner;
    this.request = request;
    this.connecting = connectStream({ host, port: request.id.remotePort }, this, options);
    request.onCancelled = (): void => this.cancel();
  }

  onConnected(stream: HostStream): void {
    this.request.onCancelled = undefined;
    this.owner.connected(this, stream);
  }

  onConnectFailed(code: string): void {
    this.request.onCancelled = undefined;
    this.owner.failed(this, code);
  }

  /** Give the socket back: to the guest it is as if nobody had answered. */
  evict(): void {
    this.request.onCancelled = undefined;
    this.connecting.cancel();
    this.owner.failed(this, 'ETIMEDOUT');
  }

  describeFlow(): FlowFacts {
    return tcpFacts(this.request.id, { openedBy: 'guest' }, undefined, this.startedAt);
  }

  endFlow(): void {
    this.request.onCancelled = undefined;
    this.connecting.cancel();
    this.owner.failed(this, 'ECONNREFUSED');
  }

  private cancel(): void {
    this.connecting.cancel();
    this.owner.cancelled(this);
  }
}
