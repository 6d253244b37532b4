/**
 * One guest on one stream socket. The link is up from construction to the socket's close; the stack
 * hears of the end exactly once, by `onLinkDown`.
 */
import type { Socket } from 'node:net';
import type { SocketReader } from '../native/socket-over-handle.ts';
import type { FrameReader } from '../stack/link.ts';
import type { Framing } from './framing.ts';
import type { LinkContext } from './link-context.ts';
import type { LinkStats } from './link-stats.ts';
import { StreamFrameSplitter } from './stream-splitter.ts';
import { StreamWriter } from './stream-writer.ts';

export class SocketLink {
  /** Where the socket must read to, and what it must call then: its `onread`. */
  readonly source: SocketReader;
  private readonly name: string;
  private readonly framing: Framing;
  private readonly context: LinkContext;
  private readonly stats: LinkStats;
  private readonly splitter: StreamFrameSplitter;
  private socket: Socket | undefined = undefined;
  private writer: StreamWriter | undefined = undefined;
  private reader: FrameReader | undefined = undefined;

  /** @param name for logs and the API: `qemu:/run/x.sock#3` */
  constructor(name: string, framing: Framing, context: LinkContext, stats: LinkStats) {
    this.name = name;
    this.framing = framing;
    this.context = context;
    this.stats = stats;
    this.splitter = new StreamFrameSplitter(framing, stats);
    this.source = {
      buffer: this.splitter.target,
      callback: (len) => {
        this.onRead(len);
        return true;
      },
    };
  }

  private onRead(len: number): void {
    if (this.reader === undefined) return;
    if (this.splitter.onRead(this.context.clock.now(), len, this.reader)) return;
    if (this.reader === undefined) return; // closed from within
    this.context.log.warn(
      { link: this.name },
      'guest link is out of step: impossible frame length; closing it',
    );
    this.close();
  }

  /**
   * Attach the guest. The socket is destroyed when the segment has no room for it.
   *
   * @param onDown the link has ended; not called when this returns false
   * @returns false when there was no room
   */
  start(socket: Socket, onDown: () => void): boolean {
    const { acceptor, clock, log } = this.context;
    const writer = new StreamWriter(socket, this.framing, this.stats, () => {
      this.reader?.onWritable(clock.now());
    });
    socket.on('error', (error) => {
      log.debug({ link: this.name, error: error.message }, 'guest link failed');
    });
    const reader = acceptor.attach(clock.now(), this.name, writer);
    if (reader === undefined) {
      this.stats.drops.add('too-many-links');
      log.warn({ link: this.name }, 'guest refused: too many links');
      socket.destroy();
      socket.once('close', () => this.splitter.release());
      return false;
    }
    this.socket = socket;
    this.writer = writer;
    this.reader = reader;
    this.stats.linksOpen++;
    this.stats.linksOpened++;
    log.info({ link: this.name }, 'guest link up');
    socket.on('end', () => this.close());
    socket.on('close', () => {
      this.close();
      this.splitter.release();
      writer.release();
      onDown();
    });
    return true;
  }

  close(): void {
    const reader = this.reader;
    if (reader === undefined) return;
    this.reader = undefined;
    this.splitter.stop();
    this.writer?.close();
    this.socket?.destroy();
    this.stats.linksOpen--;
    this.context.log.info({ link: this.name }, 'guest link down');
    reader.onLinkDown(this.context.clock.now());
  }
}
