/**
 * Feeds a multiplexer what its link has read, in parts, within the link's share of each turn: a read of small frames can
 * open thousands of channels.
 */
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import type { Mux } from '../../mux/mux.ts';
import type { TurnShare } from '../turns.ts';

/** As many opens as this has room for are served in some milliseconds. */
const PART_LEN = 4096;
/** Requests and channels to report about, after which a batch ends. */
const MAX_OWED = 32;

/**
 * One batch.
 *
 * @param share begun by the caller; undefined: all of it
 * @returns bytes that were processed
 */
export function feedMux(
  now: Instant,
  mux: Mux,
  slab: Slab,
  off: number,
  len: number,
  share: TurnShare | undefined,
): number {
  let done = 0;
  if (share === undefined) {
    mux.onBytes(now, slab, off, len);
    done = len;
  }
  while (done < len) {
    const part = Math.min(PART_LEN, len - done);
    mux.onBytes(now, slab, off + done, part);
    done += part;
    if (mux.owed >= MAX_OWED || !share?.more()) break;
  }
  mux.onBatchEnd(now);
  return done;
}
