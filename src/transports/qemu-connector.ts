/**
 * `qemu-connect:`: QEMU listens (`-netdev stream,server=on`) and we connect, again and again. It is the
 * only way to survive a restart of hawser under a running guest before QEMU 8.
 */
import { connect } from 'node:net';
import { QEMU_FRAMING } from './framing.ts';
import type { LinkContext, OpenLink } from './link-context.ts';
import { LinkStats } from './link-stats.ts';
import { SocketLink } from './socket-link.ts';
import { formatStreamAddress, type StreamAddress } from './stream-address.ts';

const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 2000;

export class QemuConnector implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  private readonly address: StreamAddress;
  private readonly context: LinkContext;
  private link: SocketLink | undefined = undefined;
  private timer: NodeJS.Timeout | undefined = undefined;
  private delayMs = FIRST_DELAY_MS;
  private serial = 0;
  private closed = false;
  /** Ends the attempt under way. */
  private abandon: (() => void) | undefined = undefined;

  constructor(address: StreamAddress, context: LinkContext) {
    this.address = address;
    this.context = context;
    this.description = `qemu-connect:${formatStreamAddress(address)}`;
    this.connect();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    this.abandon?.();
    this.link?.close();
  }

  private connect(): void {
    const name = `${this.description}#${++this.serial}`;
    const link = new SocketLink(name, QEMU_FRAMING, this.context, this.stats);
    const socket = connect({ ...this.address, onread: link.source, noDelay: true });
    this.abandon = (): void => {
      socket.destroy();
    };
    const onFailed = (error: Error): void => {
      this.context.log.debug({ link: name, error: error.message }, 'QEMU does not answer yet');
    };
    socket.once('error', onFailed);
    socket.once('close', this.retry);
    socket.once('connect', () => {
      socket.off('error', onFailed);
      if (!link.start(socket, () => undefined)) return;
      this.link = link;
      this.delayMs = FIRST_DELAY_MS;
    });
  }

  private readonly retry = (): void => {
    this.link = undefined;
    if (this.closed) return;
    this.timer = setTimeout(() => this.connect(), this.delayMs);
    this.delayMs = Math.min(this.delayMs * 2, MAX_DELAY_MS);
  };
}
