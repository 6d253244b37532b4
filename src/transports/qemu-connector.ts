/**
 * `qemu-connect:`: QEMU listens (`-netdev stream,server=on`) and we connect, and reconnect. Before QEMU 8
 * a running guest survives a restart of hawser only like this.
 */
import { connectStream } from '../native/stream/connect-stream.ts';
import type { Connecting, ConnectOwner, HostStream } from '../native/stream/host-stream.ts';
import { DIAL_LIMIT_MS } from './dial-limit.ts';
import { QEMU_FRAMING } from './framing.ts';
import type { LinkContext, OpenLink } from './link-context.ts';
import { LinkStats } from './link-stats.ts';
import { SocketLink } from './socket-link.ts';
import { formatStreamAddress, type StreamAddress } from './stream-address.ts';

const FIRST_DELAY_MS = 50;
/** The link is up again within two seconds of the network's return. */
const MAX_DELAY_MS = 1000;

export class QemuConnector implements OpenLink, ConnectOwner {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  private readonly address: StreamAddress;
  private readonly context: LinkContext;
  private readonly dialLimitMs: number;
  private link: SocketLink | undefined = undefined;
  /** For the end of an attempt, or the beginning of the next. */
  private timer: NodeJS.Timeout | undefined = undefined;
  private delayMs = FIRST_DELAY_MS;
  private serial = 0;
  private closed = false;
  private connecting: Connecting | undefined = undefined;

  constructor(address: StreamAddress, context: LinkContext, dialLimitMs: number = DIAL_LIMIT_MS) {
    this.address = address;
    this.context = context;
    this.dialLimitMs = dialLimitMs;
    this.description = `qemu-connect:${formatStreamAddress(address)}`;
    this.connect();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    this.connecting?.cancel();
    this.link?.close();
  }

  private connect(): void {
    const connecting = connectStream(this.address, this, this.context);
    this.connecting = connecting;
    this.timer = setTimeout(() => {
      connecting.cancel();
      this.onConnectFailed('ETIMEDOUT');
    }, this.dialLimitMs);
  }

  onConnected(stream: HostStream): void {
    clearTimeout(this.timer);
    const name = `${this.description}#${++this.serial}`;
    this.connecting = undefined;
    const link = new SocketLink(name, QEMU_FRAMING, stream, this.context, this.stats, this.retry);
    if (!link.start()) {
      this.retry();
      return;
    }
    this.link = link;
    this.delayMs = FIRST_DELAY_MS;
  }

  onConnectFailed(code: string): void {
    this.context.log.debug({ link: this.description, error: code }, 'QEMU does not answer yet');
    this.retry();
  }

  private readonly retry = (): void => {
    clearTimeout(this.timer);
    this.link = undefined;
    this.connecting = undefined;
    if (this.closed) return;
    this.timer = setTimeout(() => this.connect(), this.delayMs);
    this.delayMs = Math.min(this.delayMs * 2, MAX_DELAY_MS);
  };
}
