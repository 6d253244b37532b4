/**
 * Two Ethernet segments joined inside this process: hawser's own, and that of a simulated guest.
 *
 * Both ends use the parts of socket links: frames are built in a {@link StreamWriter}'s
 * slabs and cut apart by a {@link StreamFrameSplitter}, so limits, batches and back-pressure are those of
 * a guest on a socket. Instead of a socket, each write is copied to the other end in a later turn of
 * the event loop, never from inside the call.
 */
import type { Clock } from '../base/time.ts';
import type { ByteSink } from '../native/stream/slab-queue.ts';
import type { FrameReader, LinkAcceptor } from '../stack/link.ts';
import { QEMU_FRAMING } from './framing.ts';
import { type LinkContext, LinkError, type OpenLink } from './link-context.ts';
import { LinkStats } from './link-stats.ts';
import { StreamFrameSplitter } from './stream-splitter.ts';
import { StreamWriter } from './stream-writer.ts';

/** Both ends belong to this process. */
const WHOLE = { more: () => true };

class End implements ByteSink {
  readonly writer: StreamWriter;
  private readonly clock: Pick<Clock, 'now'>;
  private readonly splitter: StreamFrameSplitter;
  private peer: End | undefined = undefined;
  private reader: FrameReader | undefined = undefined;

  constructor(clock: Pick<Clock, 'now'>, stats: LinkStats) {
    this.clock = clock;
    this.splitter = new StreamFrameSplitter(QEMU_FRAMING, stats);
    this.writer = new StreamWriter(this, QEMU_FRAMING, stats, () => {
      this.reader?.onWritable(clock.now());
    });
  }

  /** @returns false when `acceptor` has no room for another link */
  join(peer: End, acceptor: LinkAcceptor, name: string): boolean {
    this.peer = peer;
    this.reader = acceptor.attach(this.clock.now(), name, this.writer);
    return this.reader !== undefined;
  }

  write(bytes: Uint8Array, off: number, len: number): boolean {
    setImmediate(() => {
      this.peer?.receive(bytes.subarray(off, off + len));
      this.writer.onWritten();
    });
    return false;
  }

  close(): void {
    const { reader } = this;
    if (reader === undefined) return;
    this.reader = undefined;
    this.splitter.stop();
    this.writer.close();
    reader.onLinkDown(this.clock.now());
  }

  private receive(bytes: Uint8Array): void {
    const { target } = this.splitter;
    for (let off = 0; off < bytes.length && this.reader !== undefined; off += target.length) {
      const part = bytes.subarray(off, off + target.length);
      target.set(part);
      this.splitter.onRead(part.length);
      this.splitter.deliver(this.clock.now(), this.reader, WHOLE);
    }
  }
}

export class MemoryLink implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats = new LinkStats();
  private readonly ends: readonly End[];

  /**
   * @param guest the other segment
   * @throws LinkError when one of the segments has no room for another link
   */
  constructor(guest: LinkAcceptor, description: string, context: LinkContext) {
    this.description = description;
    const ours = new End(context.clock, this.stats);
    const theirs = new End(context.clock, new LinkStats());
    this.ends = [ours, theirs];
    if (ours.join(theirs, context.acceptor, description) && theirs.join(ours, guest, description)) {
      this.stats.linksOpen++;
      this.stats.linksOpened++;
      return;
    }
    ours.close();
    throw new LinkError(`cannot attach ${description}: too many links`);
  }

  close(): Promise<void> {
    for (const end of this.ends) end.close();
    this.stats.linksOpen = 0;
    return Promise.resolve();
  }
}
