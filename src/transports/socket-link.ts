/**
 * One guest on one stream socket. The link is up from construction to the socket's close; the stack
 * is notified of the end exactly once, by `onLinkDown`.
 *
 * What it sends is processed within its share of each turn; while a part waits, the socket is not read.
 */
import { endStream } from '../native/stream/end-stream.ts';
import type { HostStream, HostStreamOwner } from '../native/stream/host-stream.ts';
import type { TurnShare, TurnWork } from '../proxy/turns.ts';
import { type FrameReader, listenerOf } from '../stack/link.ts';
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

const NOTHING = new Uint8Array(0);

/** What is exchanged around a guest's frames. */
export interface LinkOpening {
  /** Bytes that were read before the stream belonged to the link. */
  readonly early?: Uint8Array;
  /** Sent before any frame. */
  readonly greeting?: Uint8Array;
  /** Sent in place of it where the segment has no room. Default: nothing. */
  readonly refusal?: Uint8Array;
}

/** For a peer to read what it was sent, and to end in its turn. */
const END_LIMIT_MS = 1_000;

export class SocketLink implements HostStreamOwner, TurnWork {
  private readonly name: string;
  private readonly context: LinkContext;
  private readonly stats: LinkStats;
  private readonly stream: HostStream;
  private readonly splitter: StreamFrameSplitter;
  private readonly writer: StreamWriter;
  private readonly onDown: () => void;
  /** What the link came by, or the user at its other end. */
  private readonly listener: string;
  private readonly share: TurnShare;
  /** Read before the stream belonged to the link, and not processed. */
  private early: Uint8Array = NOTHING;
  private reader: FrameReader | undefined = undefined;
  private isWide = false;
  private isClosed = false;

  /**
   * @param name for logs and the API: `qemu:/run/x.sock#3`
   * @param onDown the link has ended; not called when {@link start} returns false
   * @param listener whose links share one part of every budget, and are bounded together; see `LinkAcceptor`
   */
  constructor(
    name: string,
    framing: Framing,
    stream: HostStream,
    context: LinkContext,
    stats: LinkStats,
    onDown: () => void,
    listener: string = listenerOf(name),
  ) {
    this.name = name;
    this.context = context;
    this.stats = stats;
    this.stream = stream;
    this.onDown = onDown;
    this.listener = listener;
    this.share = context.turns.join(this, this.listener);
    this.splitter = new StreamFrameSplitter(framing, stats);
    const onRoom = (): void => this.reader?.onWritable(context.clock.now());
    const onBroken = (): void => void setImmediate(() => this.close());
    this.writer = new StreamWriter(stream, framing, stats, onRoom, onBroken);
  }

  /**
   * Attach the guest. Its socket is closed when the segment has no room for it.
   *
   * @returns false when there was no room
   */
  start({ early = NOTHING, greeting, refusal }: LinkOpening = {}): boolean {
    const { acceptor, clock, log } = this.context;
    if (greeting !== undefined) this.writer.greet(greeting);
    const reader = acceptor.attach(
      clock.now(),
      this.name,
      this.writer,
      this.listener,
      this.stream.peerUid,
    );
    if (reader === undefined) {
      this.stats.drops.add('too-many-links');
      log.warn({ link: this.name }, 'guest refused: too many links');
      this.writer.close();
      if (refusal === undefined) this.stream.close();
      else void refuseStream(this.stream, refusal);
      this.release();
      return false;
    }
    this.reader = reader;
    this.stats.linksOpen++;
    this.stats.linksOpened++;
    log.info({ link: this.name }, 'guest link up');
    this.early = early;
    this.stream.start(this, early.length > 0, this.splitter.target);
    if (greeting !== undefined) this.writer.flush();
    if (early.length > 0) this.readEarly();
    return true;
  }

  onHostBytes(_bytes: Uint8Array, len: number): boolean {
    if (this.reader === undefined) return false;
    this.splitter.onRead(len);
    return this.deliver();
  }

  onTurn(): void {
    if (this.deliver()) this.readEarly();
  }

  /** @returns whether all was processed, and more may be read */
  private deliver(): boolean {
    const { reader, share, splitter, context } = this;
    const now = context.clock.now();
    if (reader === undefined || !share.begin(now)) return false;
    const delivery = splitter.deliver(now, reader, share);
    const isUp = this.reader !== undefined;
    share.end(isUp && delivery === 'left');
    if (isUp && delivery === 'broken') {
      context.log.warn(
        { link: this.name },
        'guest link is out of sync: impossible frame length; closing it',
      );
      this.close();
    }
    return isUp && delivery === 'done';
  }

  /** Process what was read before, and then read on. */
  private readEarly(): void {
    const { target } = this.splitter;
    while (this.early.length > 0) {
      const part = this.early.subarray(0, target.length);
      this.early = this.early.subarray(part.length);
      target.set(part);
      if (!this.onHostBytes(target, part.length)) return;
    }
    this.stream.resume();
  }

  onHostWritten(): void {
    this.isWide ||= this.stream.setSendBuffer(SEND_BUFFER);
    this.writer.onWritten();
  }

  onHostEnd(): void {
    void this.end();
  }

  onHostClosed(code: string | undefined): void {
    this.isClosed = true;
    if (code !== undefined) {
      this.context.log.debug({ link: this.name, error: code }, 'guest link failed');
    }
    this.close();
  }

  /** Detach the guest. */
  close(): void {
    if (!this.detach()) return;
    this.writer.close();
    this.stream.close();
    // Not now: the link may be closed from inside the splitter.
    setImmediate(() => this.release());
    this.onDown();
  }

  /** Detach the guest, which reads whole frames and then the end, and is never reset unless it takes too long. */
  async end(): Promise<void> {
    if (!this.detach()) return;
    this.writer.flush();
    this.writer.close();
    this.onDown();
    if (!this.isClosed) await endStream(this.stream, END_LIMIT_MS);
    this.release();
  }

  private detach(): boolean {
    const { reader } = this;
    if (reader === undefined) return false;
    this.reader = undefined;
    this.splitter.stop();
    this.stats.linksOpen--;
    this.context.log.info({ link: this.name }, 'guest link down');
    reader.onLinkDown(this.context.clock.now());
    return true;
  }

  private release(): void {
    this.splitter.release();
    this.writer.release();
  }
}

/** Send `why`, and end. */
export async function refuseStream(stream: HostStream, why: Uint8Array): Promise<void> {
  stream.write(why);
  await endStream(stream, END_LIMIT_MS);
}
