/** One connect for a guest's SYN. */
import type { Chained } from '../../base/chain.ts';
import { type ConnectOptions, connectStream } from '../../native/stream/connect-stream.ts';
import type { Connecting, ConnectOwner, HostStream } from '../../native/stream/host-stream.ts';
import type { TcpRequest } from '../../stack/flow.ts';

export interface HostDialOwner {
  connected(dial: HostDial, stream: HostStream): void;
  failed(dial: HostDial, code: string): void;
  /** The guest has given up. */
  cancelled(dial: HostDial): void;
}

export class HostDial implements ConnectOwner, Chained<HostDial> {
  chainNext: HostDial | undefined = undefined;
  chainPrev: HostDial | undefined = undefined;
  readonly request: TcpRequest;
  private readonly owner: HostDialOwner;
  private readonly connecting: Connecting;

  constructor(owner: HostDialOwner, request: TcpRequest, host: string, options: ConnectOptions) {
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

  private cancel(): void {
    this.connecting.cancel();
    this.owner.cancelled(this);
  }
}
