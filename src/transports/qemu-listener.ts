/** `qemu:`: guests connect to us, any number of them, at any time. */
import type { Server } from 'node:net';
import { acceptStreams } from '../native/stream/accept-streams.ts';
import type { HostStream } from '../native/stream/host-stream.ts';
import { QEMU_FRAMING } from './framing.ts';
import type { LinkContext, OpenLink } from './link-context.ts';
import { LinkStats } from './link-stats.ts';
import { SocketLink } from './socket-link.ts';
import { formatStreamAddress, type StreamAddress } from './stream-address.ts';
import { closeServer, openServer } from './stream-server.ts';

export class QemuListener implements OpenLink {
  readonly stats: LinkStats = new LinkStats();
  description: string;
  private readonly context: LinkContext;
  private readonly links = new Set<SocketLink>();
  private server: Server | undefined = undefined;
  private serial = 0;

  private constructor(address: StreamAddress, context: LinkContext) {
    this.context = context;
    this.description = `qemu:${formatStreamAddress(address)}`;
  }

  /** @throws LinkInUseError, LinkError */
  static async open(address: StreamAddress, context: LinkContext): Promise<QemuListener> {
    const listener = new QemuListener(address, context);
    const server = await openServer(address, context.socketMode);
    listener.server = server;
    const bound = server.address();
    if (bound !== null && typeof bound === 'object') {
      const used = { host: bound.address, port: bound.port };
      listener.description = `qemu:${formatStreamAddress(used)}`;
    }
    const onFailed = (): void => {
      context.log.error({ link: listener.description }, 'accept failed');
    };
    server.on('error', onFailed);
    const onStream = (stream: HostStream): void => listener.onStream(stream);
    acceptStreams(server, { onStream, onFailed }, context);
    return listener;
  }

  async close(): Promise<void> {
    const server = this.server;
    if (server === undefined) return;
    this.server = undefined;
    for (const link of this.links) link.close();
    await closeServer(server);
  }

  private onStream(stream: HostStream): void {
    const name = `${this.description}#${++this.serial}`;
    const onDown = (): void => {
      this.links.delete(link);
    };
    const { context, stats } = this;
    const link = new SocketLink(name, QEMU_FRAMING, stream, context, stats, onDown);
    if (link.start()) this.links.add(link);
  }
}
