/**
 * `bess:PATH`: guests connect to a SOCK_SEQPACKET socket, any number of them, and send one frame a packet (gvproxy's
 * `-listen-bess`, which is named after the switch; QEMU's `-netdev dgram` over a descriptor).
 */
import * as errno from '../../native/constants.ts';
import { loadPosix } from '../../native/load.ts';
import type { Posix } from '../../native/posix.ts';
import { type Watch, watchReadable } from '../../native/watch.ts';
import type { LinkContext, OpenLink } from '../link-context.ts';
import { LinkStats } from '../link-stats.ts';
import { MessageLink } from './message-link.ts';
import { type MessagePlace, openPlace } from './place.ts';

/** Accepted in one turn. */
const ACCEPTS = 16;
/** After a failure that is not the connection's: no descriptors, no memory. */
const REST_MS = 100;

export class BessListener implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  private readonly posix: Posix;
  private readonly context: LinkContext;
  private readonly place: MessagePlace;
  private readonly watch: Watch;
  private readonly links = new Set<MessageLink>();
  private timer: NodeJS.Timeout | undefined = undefined;
  private serial = 0;

  private constructor(path: string, place: MessagePlace, posix: Posix, context: LinkContext) {
    this.description = `bess:${path}`;
    this.posix = posix;
    this.context = context;
    this.place = place;
    posix.refuseDescriptors(place.fd);
    this.watch = watchReadable(place.fd, () => this.onReadable());
  }

  /** @throws NativeUnavailableError, LinkError, LinkInUseError */
  static async open(path: string, context: LinkContext): Promise<BessListener> {
    const posix = loadPosix(`open bess:${path}`, 'use a qemu: link instead');
    const place = await openPlace('seqpacket', path, context.socketMode, posix);
    return new BessListener(path, place, posix, context);
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    this.watch.close();
    for (const link of this.links) link.close();
    this.place.remove();
  }

  private onReadable(): void {
    const { posix, place, watch, context, description } = this;
    for (let i = 0; i < ACCEPTS; i++) {
      const fd = posix.messageSockets.accept(place.fd);
      if (fd >= 0) this.onAccepted(fd);
      else if (fd === -errno.EAGAIN) return;
      else if (fd !== -errno.ECONNABORTED) {
        context.log.error({ link: description, errno: -fd }, 'accept failed');
        watch.pause();
        this.timer = setTimeout(() => watch.resume(), REST_MS);
        return;
      }
    }
  }

  private onAccepted(fd: number): void {
    const { posix, stats, context, description } = this;
    const name = `${description}#${++this.serial}`;
    const onDown = (): void => {
      this.links.delete(link);
    };
    const link = new MessageLink(
      { posix, fd, name, listener: description, stats, onDown },
      context,
    );
    if (link.start()) this.links.add(link);
  }
}
