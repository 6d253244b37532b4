/**
 * One guest on one stream socket. The link is up from construction to the socket's close; the stack
 * is notified of the end exactly once, by `onLinkDown`.
 */
import type { HostStream, HostStreamOwner } from '../native/stream/host-stream.ts';
import type { FrameReader } from '../stack/link.ts';
import type { Framing } from './framing.ts';
import type { LinkContext } from './link-context.ts';
import type { LinkStats } from './link-stats.ts';
import { StreamFrameSplitter } from './stream-splitter.ts';
import { StreamWriter } from './stream-writer.ts';

/**
 * The buffer of a guest's socket once it was full: with the default of 208 KiB the daemon and the guest take turns
 * rather than work at the same time.
 */
const SEND_BUFFER = 512 << 10;

export class SocketLink implements HostStreamOwner {
  private readonly name: string;
  private readonly context: LinkContext;
  private readonly stats: LinkStats;
  private readonly stream: HostStream;
  private readonly splitter: StreamFrameSplitter;
  private readonly writer: StreamWriter;
  private readonly onDown: () => void;
  private reader: FrameReader | undefined = undefined;
  private isWide = false;

  /**
   * @param name for logs and the API: `qemu:/run/x.sock#3`
   * @param onDown the link has ended; not called when {@link start} returns false
   */
  constructor(
    name: string,
    framing: Framing,
    stream: HostStream,
    context: LinkContext,
    stats: LinkStats,
    onDown: () => void,
  ) {
    this.name = name;
    this.context = context;
    this.stats = stats;
    this.stream = stream;
    this.onDown = onDown;
    this.splitter = new StreamFrameSplitter(framing, stats);
    this.writer = new StreamWriter(stream, framing, stats, () => {
      this.reader?.onWritable(context.clock.now());
    });
  }

  /**
   * Attach the guest. Its socket is closed when the segment has no room for it.
   *
   * @returns false when there was no room
   */
  start(): boolean {
    const { acceptor, clock, log } = this.context;
    const reader = acceptor.attach(clock.now(), this.name, this.writer);
    if (reader === undefined) {
      this.stats.drops.add('too-many-links');
      log.warn({ link: this.name }, 'guest refused: too many links');
      this.stream.close();
      this.release();
      return false;
    }
    this.reader = reader;
    this.stats.linksOpen++;
    this.stats.linksOpened++;
    log.info({ link: this.name }, 'guest link up');
    this.stream.start(this, false, this.splitter.target);
    return true;
  }

  onHostBytes(_bytes: Uint8Array, len: number): boolean {
    if (this.reader === undefined) return false;
    if (this.splitter.onRead(this.context.clock.now(), len, this.reader)) return true;
    if (this.reader === undefined) return false; // closed from within
    this.context.log.warn(
      { link: this.name },
      'guest link is out of sync: impossible frame length; closing it',
    );
    this.close();
    return false;
  }

  /** Process bytes that were read before the stream belonged to the link. */
  receive(bytes: Uint8Array): void {
    const { target } = this.splitter;
    for (let off = 0; off < bytes.length && this.reader !== undefined; off += target.length) {
      const part = bytes.subarray(off, off + target.length);
      target.set(part);
      this.onHostBytes(target, part.length);
    }
  }

  onHostWritten(): void {
    this.isWide ||= this.stream.setSendBuffer(SEND_BUFFER);
    this.writer.onWritten();
  }

  onHostEnd(): void {
    this.close();
  }

  onHostClosed(code: string | undefined): void {
    if (code !== undefined) {
      this.context.log.debug({ link: this.name, error: code }, 'guest link failed');
    }
    this.close();
  }

  /** Detach the guest. */
  close(): void {
    const reader = this.reader;
    if (reader === undefined) return;
    this.reader = undefined;
    this.splitter.stop();
    this.writer.close();
    this.stream.close();
    this.stats.linksOpen--;
    this.context.log.info({ link: this.name }, 'guest link down');
    reader.onLinkDown(this.context.clock.now());
    // Not now: the link may be closed from inside the splitter.
    setImmediate(() => this.release());
    this.onDown();
  }

  private release(): void {
    this.splitter.release();
    this.writer.release();
  }
}
