/**
 * Frames in a pcap file (draft-ietf-opsawg-pcap), with their Ethernet headers, as Wireshark and tcpdump read them.
 *
 * Frames are copied into one of two slabs; when one is half full, or has waited for {@link FLUSH_MS}, it is written while
 * the other fills. A disk that does not keep up loses frames, which are counted: it never holds up the network. Sums that a
 * card would complete are completed; what it would cut is kept as one packet.
 */
import { closeSync, ftruncateSync, openSync, write, writeSync } from 'node:fs';
import { copyBytes } from '../../base/copy-bytes.ts';
import type { Log } from '../../base/log.ts';
import { makeSlab, type Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import type { Frame } from '../../stack/frame.ts';
import { completeSum, hasSumInside } from '../../stack/segmentation.ts';
import type { FrameObserver } from './tapped-acceptor.ts';

const MAGIC_US = 0xa1b2_c3d4;
const LINKTYPE_ETHERNET = 1;
const SNAP_LEN = 262_144;
const FILE_HEADER_LEN = 24;
const RECORD_HEADER_LEN = 16;
const SLAB_LEN = 1024 * 1024;
const FLUSH_MS = 100;

export class CaptureError extends Error {
  readonly code = 'ERR_HAWSER_CAPTURE';
}

export class PcapFile implements FrameObserver {
  /** Frames that were not written. */
  lost = 0;
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
    this.path = path;
    this.log = log;
    this.epochMs = Date.now() - now;
    try {
      this.fd = openSync(path, 'w', 0o600);
      ftruncateSync(this.fd);
      writeSync(this.fd, fileHeader());
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
    const { view, bytes } = this.filling;
    const at = this.len;
    const wallMs = this.epochMs + now;
    const seconds = Math.floor(wallMs / 1000);
    view.setUint32(at, seconds, true);
    view.setUint32(at + 4, Math.floor((wallMs - seconds * 1000) * 1000), true);
    view.setUint32(at + 8, len, true);
    view.setUint32(at + 12, len, true);
    copyBytes(frame.slab.bytes, frame.off, bytes, at + RECORD_HEADER_LEN, len);
    if (frame.checksum === 'partial' && hasSumInside(frame)) {
      completeSum(frame, this.filling, at + RECORD_HEADER_LEN);
    }
    this.len = at + RECORD_HEADER_LEN + len;
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

function fileHeader(): Uint8Array {
  const { bytes, view } = makeSlab(FILE_HEADER_LEN);
  view.setUint32(0, MAGIC_US, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, SNAP_LEN, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return bytes;
}
