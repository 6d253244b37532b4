/**
 * `fd-socket:PATH`: a stream socket over which programs pass the guest's end of a pair of message sockets, one descriptor a
 * connection, as Lima's driver of Apple's Virtualization framework does. Frames are those of `bess:`.
 *
 * A passed descriptor can be anything. One that is no connected message socket is closed if that cannot make us wait,
 * and kept otherwise; see `PassedDescriptors`.
 */
import type { Server, Socket } from 'node:net';
import { EAGAIN } from '../../native/constants.ts';
import { loadPosix } from '../../native/load.ts';
import type { FdReceiver, Posix } from '../../native/posix.ts';
import { acceptDescriptors } from '../../native/refuse-descriptors.ts';
import { type Watch, watchAccepted } from '../../native/watch.ts';
import type { LinkContext, OpenLink } from '../link-context.ts';
import type { LinkStats } from '../link-stats.ts';
import { closeServer, openServer } from '../stream-server.ts';
import { PassedDescriptors } from '../vhost-user/passed-descriptors.ts';
import { MessageLinks } from './message-links.ts';

/** Connections that have not passed anything yet. */
const PENDING_MAX = 64;
const PENDING_MS = 10_000;
const DATA_LEN = 64;

export class FdSocket implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats;
  failure: string | undefined = undefined;
  private readonly posix: Posix;
  private readonly context: LinkContext;
  private readonly passed: PassedDescriptors;
  private readonly pending = new Set<Pending>();
  private readonly links: MessageLinks;
  private server: Server | undefined = undefined;

  private constructor(path: string, posix: Posix, context: LinkContext) {
    this.description = `fd-socket:${path}`;
    this.posix = posix;
    this.context = context;
    this.passed = new PassedDescriptors(posix, 'sealed');
    this.links = new MessageLinks(this.description, posix, context);
    this.stats = this.links.stats;
  }

  /** @throws NativeUnavailableError, LinkError, LinkInUseError */
  static async open(path: string, context: LinkContext): Promise<FdSocket> {
    const posix = loadPosix(`open fd-socket:${path}`, 'use a qemu: link instead');
    const self = new FdSocket(path, posix, context);
    const onSocket = (socket: Socket): void => self.onSocket(socket);
    self.server = await openServer({ path }, context.socketMode, onSocket);
    acceptDescriptors(self.server);
    return self;
  }

  async close(): Promise<void> {
    for (const one of this.pending) one.end();
    this.links.close();
    if (this.server !== undefined) await closeServer(this.server);
  }

  private onSocket(socket: Socket): void {
    const { passed, pending, posix } = this;
    const onEnd = (): void => {
      pending.delete(one);
      this.checkKept();
    };
    const one: Pending = new Pending(socket, posix, passed, (fds) => this.onPassed(fds), onEnd);
    if (this.failure !== undefined || pending.size >= PENDING_MAX) one.end();
    else pending.add(one);
  }

  private onPassed(fds: readonly number[]): void {
    const [fd = -1] = fds;
    const { posix, description, stats, context } = this;
    const { messageSockets } = posix;
    const isOne = fds.length === 1 && messageSockets.typeOf(fd) !== undefined;
    if (!isOne || messageSockets.isListening(fd)) {
      for (const other of fds) this.passed.close(other);
      stats.drops.add('bad-descriptor');
      context.log.warn(
        { link: description },
        'guest refused: a connection must pass one connected datagram socket',
      );
      return;
    }
    this.links.add(fd);
  }

  private checkKept(): void {
    const { passed, server, context, description } = this;
    if (!passed.isFull || server === undefined || this.failure !== undefined) return;
    this.failure = 'programs passed descriptors that cannot be closed; restart hawser';
    context.log.error({ link: description }, `socket closed: ${this.failure}`);
    server.close();
  }
}

/** A connection until something was passed over it, or it has ended. */
class Pending {
  private readonly passed: PassedDescriptors;
  private readonly onPassed: (fds: readonly number[]) => void;
  private readonly onEnd: () => void;
  private readonly watch: Watch;
  private readonly receiver: FdReceiver;
  private readonly timer: NodeJS.Timeout;
  private readonly data = new Uint8Array(DATA_LEN);
  private isOpen = true;

  constructor(
    socket: Socket,
    posix: Posix,
    passed: PassedDescriptors,
    onPassed: (fds: readonly number[]) => void,
    onEnd: () => void,
  ) {
    this.passed = passed;
    this.onPassed = onPassed;
    this.onEnd = onEnd;
    this.watch = watchAccepted(socket, () => this.onReadable());
    this.receiver = posix.makeFdReceiver(this.watch.fd);
    this.timer = setTimeout(() => this.end(), PENDING_MS);
  }

  end(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    clearTimeout(this.timer);
    this.passed.closeConnection(this.watch, this.receiver);
    this.onEnd();
  }

  private onReadable(): void {
    const fds: number[] = [];
    const len = this.receiver.receive(this.data, 0, this.data.length, fds);
    if (len === -EAGAIN || (len > 0 && fds.length === 0)) return;
    if (fds.length > 0) this.onPassed(fds);
    this.end();
  }
}
