/** `qemu:`: guests connect to us, any number of them, at any time. */
import type { HostStream } from '../native/stream/host-stream.ts';
import { QEMU_FRAMING } from './framing.ts';
import type { LinkContext, OpenLink } from './link-context.ts';
import { LinkStats } from './link-stats.ts';
import { SocketLink } from './socket-link.ts';
import { formatStreamAddress, type StreamAddress } from './stream-address.ts';
import { listenForStreams, type StreamListener } from './stream-listener.ts';

export class QemuListener implements OpenLink {
  readonly stats: LinkStats = new LinkStats();
  description: string;
  private readonly context: LinkContext;
  private readonly links = new Set<SocketLink>();
  private listener: StreamListener | undefined = undefined;

  private constructor(address: StreamAddress, context: LinkContext) {
    this.context = context;
    this.description = `qemu:${formatStreamAddress(address)}`;
  }

  /** @throws LinkInUseError, LinkError */
  static async open(address: StreamAddress, context: LinkContext): Promise<QemuListener> {
    const link = new QemuListener(address, context);
    const onStream = (stream: HostStream, name: string): void => link.onStream(stream, name);
    link.listener = await listenForStreams('qemu', address, context, onStream);
    link.description = link.listener.description;
    return link;
  }

  async close(): Promise<void> {
    const { listener } = this;
    if (listener === undefined) return;
    this.listener = undefined;
    for (const link of this.links) link.close();
    await listener.close();
  }

  private onStream(stream: HostStream, name: string): void {
    const onDown = (): void => {
      this.links.delete(link);
    };
    const { context, stats } = this;
    const link = new SocketLink(name, QEMU_FRAMING, stream, context, stats, onDown);
    if (link.start()) this.links.add(link);
  }
}
