/**
 * Frames in a pcap file (`pcap-format.ts`), with their Ethernet headers, as Wireshark and tcpdump read them.
 *
 * Frames are copied into one of two slabs; when one is half full, or has waited for {@link FLUSH_MS}, it is written while
 * the other fills. A disk that does not keep up loses frames, which are counted: it never holds up the network. What a
 * card would cut is kept as one packet.
 */
import { closeSync, ftruncateSync, openSync, write, writeSync } from 'node:fs';
import type { Log } from '../../base/log.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import { FileClaim } from '../../native/file-claim.ts';
import type { Frame } from '../../stack/frame.ts';
import { emitRecord, pcapHeader, RECORD_HEADER_LEN, SNAP_LEN_MAX } from './pcap-format.ts';
import type { FrameObserver } from './tapped-acceptor.ts';

const SLAB_LEN = 1024 * 1024;
const FLUSH_MS = 100;

export class CaptureError extends Error {
  override name: string = 'CaptureError';
  readonly code = 'ERR_HAWSER_CAPTURE';
}

export class PcapFile implements FrameObserver {
  /** Frames that were not written. */
  lost = 0;
  readonly claim: FileClaim;
  private readonly path: string;
  private readonly log: Log;
  private readonly fd: number;
  /** Unix time, in ms, at the clock's zero. */
  private readonly epochMs: number;
  private filling: Slab = makeSlab(SLAB_LEN);
  private other: Slab = makeSlab(SLAB_LEN);
  private len = 0;
  private writing: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;

  /** @throws CaptureError */
  constructor(path: string, now: Instant, log: Log) {
    this.claim = new FileClaim(path, 'the capture file', log);
    this.path = path;
    this.log = log;
    this.epochMs = Date.now() - now;
    try {
      this.fd = openSync(path, 'w', 0o600);
      ftruncateSync(this.fd);
      writeSync(this.fd, pcapHeader(SNAP_LEN_MAX));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CaptureError(`cannot capture to ${path}: ${why}`, { cause });
    }
  }

  onFrame(now: Instant, frame: Frame): void {
    const { len } = frame;
    if (this.isClosed) return;
    if (this.len + RECORD_HEADER_LEN + len > SLAB_LEN && !this.swap()) {
      this.lost++;
      return;
    }
    const wallMs = this.epochMs + now;
    this.len += emitRecord(this.filling, this.len, wallMs, frame, SNAP_LEN_MAX);
    if (this.len > SLAB_LEN / 2) this.swap();
    this.timer ??= setTimeout(() => this.onTimer(), FLUSH_MS).unref();
  }

  /** Resolves when all is in the file. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.writing;
    this.swap();
    await this.writing;
    closeSync(this.fd);
    this.claim.close();
    if (this.lost > 0) this.log.warn({ file: this.path, lost: this.lost }, 'frames not captured');
  }

  private onTimer(): void {
    this.timer = undefined;
    this.swap();
  }

  /** @returns false while the other slab is being written */
  private swap(): boolean {
    if (this.writing !== undefined) return false;
    if (this.len === 0) return true;
    const { filling, len } = this;
    this.filling = this.other;
    this.other = filling;
    this.len = 0;
    this.writing = this.writeAll(filling.bytes, len).then((error) => {
      this.writing = undefined;
      if (error !== undefined) {
        this.lost++;
        this.log.warn({ file: this.path, reason: error.message }, 'cannot write the capture');
      }
    });
    return true;
  }

  private writeAll(bytes: Uint8Array, len: number): Promise<Error | undefined> {
    return new Promise((resolve) => {
      const next = (done: number): void => {
        write(this.fd, bytes, done, len - done, null, (error, n) => {
          if (error !== null) resolve(error);
          else if (done + n < len) next(done + n);
          else resolve(undefined);
        });
      };
      next(0);
    });
  }
}
