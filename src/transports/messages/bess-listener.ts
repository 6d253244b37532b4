/**
 * `bess:PATH`: guests connect to a SOCK_SEQPACKET socket, any number of them, and send one frame a packet (gvproxy's
 * `-listen-bess`, which is named after the switch; QEMU's `-netdev dgram` over a descriptor).
 */
import * as errno from '../../native/constants.ts';
import { loadPosix } from '../../native/load.ts';
import type { Posix } from '../../native/posix.ts';
import { type Watch, watchReadable } from '../../native/watch.ts';
import type { LinkContext, OpenLink } from '../link-context.ts';
import type { LinkStats } from '../link-stats.ts';
import { MessageLinks } from './message-links.ts';
import { type MessagePlace, openPlace } from './place.ts';

/** Accepted in one turn. */
const ACCEPTS = 16;
/** After a failure that is not the connection's: no descriptors, no memory. */
const REST_MS = 100;

export class BessListener implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats;
  private readonly posix: Posix;
  private readonly context: LinkContext;
  private readonly place: MessagePlace;
  private readonly watch: Watch;
  private readonly links: MessageLinks;
  private timer: NodeJS.Timeout | undefined = undefined;

  private constructor(path: string, place: MessagePlace, posix: Posix, context: LinkContext) {
    this.description = `bess:${path}`;
    this.posix = posix;
    this.context = context;
    this.place = place;
    this.links = new MessageLinks(this.description, posix, context);
    this.stats = this.links.stats;
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
    this.links.close();
    this.place.remove();
  }

  private onReadable(): void {
    const { posix, place, watch, context, description, links } = this;
    for (let i = 0; i < ACCEPTS; i++) {
      const fd = posix.messageSockets.accept(place.fd);
      if (fd >= 0) links.add(fd);
      else if (fd === -errno.EAGAIN) return;
      else if (fd !== -errno.ECONNABORTED) {
        context.log.error({ link: description, errno: -fd }, 'accept failed');
        watch.pause();
        this.timer = setTimeout(() => watch.resume(), REST_MS);
        return;
      }
    }
  }
}
