/**
 * Frames as they pass, for clients that come and go: each is sent a capture (`pcap-format.ts`) that begins with what passed
 * last, as tcpdump and Wireshark read it from a pipe.
 *
 * Records gather in one slab; a batch of them is copied once for all clients when the slab is full or {@link FLUSH_MS} old.
 * A client with more than {@link CLIENT_MAX} before it loses whole batches, which are counted: it never holds up the network.
 */
import type { Writable } from 'node:stream';
import { makeSlab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import type { Frame } from '../../stack/frame.ts';
import { MAX_FRAME_LEN } from '../framing.ts';
import { emitRecord, pcapHeader, RECORD_HEADER_LEN } from './pcap-format.ts';
import type { FrameObserver } from './tapped-acceptor.ts';

/** Kept for clients that come. */
export const RECENT_MAX: number = 256 * 1024;
/** Bytes that a client has not taken yet. */
export const CLIENT_MAX: number = 4 * 1024 * 1024;
const BATCH_LEN = 64 * 1024;
const FLUSH_MS = 100;

export class PcapStreams implements FrameObserver {
  /** Frames that a client was not sent. */
  lost = 0;
  private readonly snapLen: number;
  private readonly clients = new Set<Writable>();
  private readonly slab = makeSlab(BATCH_LEN + RECORD_HEADER_LEN + MAX_FRAME_LEN);
  private len = 0;
  private frames = 0;
  /** The last batches, of {@link RECENT_MAX} bytes at most. */
  private readonly recent: Uint8Array[] = [];
  private recentLen = 0;
  /** Unix time, in ms, at the clock's zero; known with the first frame. */
  private epochMs: number | undefined = undefined;
  private timer: NodeJS.Timeout | undefined = undefined;

  /** @param snapLen of no frame are more bytes sent */
  constructor(snapLen: number) {
    this.snapLen = snapLen;
  }

  /** It is sent what passes until it closes, or this does. */
  add(client: Writable): void {
    this.flush();
    client.on('error', () => client.destroy());
    client.once('close', () => this.clients.delete(client));
    this.clients.add(client);
    client.write(pcapHeader(this.snapLen));
    for (const batch of this.recent) client.write(batch);
  }

  onFrame(now: Instant, frame: Frame): void {
    this.epochMs ??= Date.now() - now;
    this.len += emitRecord(this.slab, this.len, this.epochMs + now, frame, this.snapLen);
    this.frames++;
    if (this.len >= BATCH_LEN) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  close(): void {
    this.flush();
    for (const client of this.clients) client.end();
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.len === 0) return;
    const batch = this.slab.bytes.slice(0, this.len);
    for (const client of this.clients) {
      if (client.writableLength > CLIENT_MAX) this.lost += this.frames;
      else client.write(batch);
    }
    this.keep(batch);
    this.len = 0;
    this.frames = 0;
  }

  private keep(batch: Uint8Array): void {
    this.recent.push(batch);
    this.recentLen += batch.length;
    while (this.recentLen > RECENT_MAX) this.recentLen -= this.recent.shift()?.length ?? 0;
  }
}
