/**
 * `qemu-dgram:LOCAL,REMOTE`: datagrams between our socket LOCAL and QEMU's REMOTE, one guest.
 *
 *     qemu-system-x86_64 ... -netdev dgram,id=n,local.type=unix,local.path=REMOTE,remote.type=unix,remote.path=LOCAL
 *
 * Theory of operation
 * -------------------
 * Neither end connects or ends. Our socket is connected to QEMU's as soon as that exists: then QEMU's frames are not
 * bounded in number, and a guest that was there before is found again at once. QEMU makes its socket anew at each start, so
 * that another file at REMOTE is another machine. While it is connected to one that has gone, our socket takes
 * nothing from its successor; so it is looked for often.
 */
import { fileIdentity } from '../../native/file-identity.ts';
import { loadPosix } from '../../native/load.ts';
import type { Posix } from '../../native/posix.ts';
import { unixSockaddr } from '../../native/sockaddr.ts';
import { type Watch, watchReadable } from '../../native/watch.ts';
import type { LinkContext, OpenLink } from '../link-context.ts';
import { LinkStats } from '../link-stats.ts';
import { messageCalls } from './message-calls.ts';
import { MessageLink } from './message-link.ts';
import { type MessagePlace, openPlace } from './place.ts';

const CHECK_MS = 250;

export class QemuDgramLink implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  private readonly posix: Posix;
  private readonly context: LinkContext;
  private readonly place: MessagePlace;
  private readonly remote: string;
  private readonly remoteName: Uint8Array;
  /** While there is no link: of frames that come before QEMU's socket was looked for. */
  private readonly watch: Watch;
  private readonly timer: NodeJS.Timeout;
  private link: MessageLink | undefined = undefined;
  /** Of the file at `remote` that our socket is connected to. */
  private identity: string | undefined = undefined;
  private serial = 0;

  private constructor(
    local: string,
    remote: string,
    place: MessagePlace,
    posix: Posix,
    context: LinkContext,
  ) {
    this.description = `qemu-dgram:${local},${remote}`;
    this.posix = posix;
    this.context = context;
    this.place = place;
    this.remote = remote;
    this.remoteName = unixSockaddr(remote);
    posix.refuseDescriptors(place.fd);
    this.watch = watchReadable(place.fd, () => this.onReadable());
    this.timer = setInterval(() => this.check(), CHECK_MS);
    this.check();
  }

  /** @throws NativeUnavailableError, LinkError, LinkInUseError */
  static async open(local: string, remote: string, context: LinkContext): Promise<QemuDgramLink> {
    const posix = loadPosix(`open qemu-dgram:${local},${remote}`, 'use a qemu: link instead');
    const place = await openPlace('dgram', local, context.socketMode, posix);
    return new QemuDgramLink(local, remote, place, posix, context);
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.watch.close();
    this.link?.close();
    this.place.remove();
  }

  private check(): void {
    if (this.link === undefined) this.connect();
    else if (fileIdentity(this.remote) !== this.identity || !this.isServed) this.link.close();
  }

  private get isServed(): boolean {
    return this.posix.messageSockets.isServed(this.remoteName);
  }

  private connect(): void {
    const { posix, place, remote, stats, context, description } = this;
    const { messageSockets } = posix;
    const identity = fileIdentity(remote);
    if (identity === undefined || messageSockets.connect(place.fd, remote) < 0) return;
    const fd = messageSockets.duplicate(place.fd);
    if (fd < 0) return; // no descriptors left: again later
    const name = `${description}#${++this.serial}`;
    const onDown = (): void => this.onDown();
    this.identity = identity;
    const link = new MessageLink(
      { posix, fd, name, listener: description, stats, onDown },
      context,
    );
    if (!link.start()) {
      messageSockets.disconnect(place.fd);
      return;
    }
    this.link = link;
    this.watch.pause();
  }

  private onDown(): void {
    this.link = undefined;
    this.posix.messageSockets.disconnect(this.place.fd);
    this.watch.resume();
  }

  /** Before there is anybody to answer. */
  private onReadable(): void {
    if (this.link === undefined) this.connect();
    if (this.link !== undefined) return;
    const got = messageCalls(this.posix).reader.receive(this.place.fd);
    for (let i = 0; i < got; i++) this.stats.drops.add('foreign-sender');
  }
}
