/**
 * Feeds a multiplexer what its link has read, in parts, within the link's share of each turn: a read of small frames can
 * open thousands of channels.
 */
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import type { Mux } from '../../mux/mux.ts';
import type { TurnShare } from '../turns.ts';

/** It has room for some 150 opens; the end of a batch serves a part of them. */
const PART_LEN = 4096;
/** Requests and channels to report about, beyond which nothing more is taken in. */
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
  while (done < len && (share === undefined || mux.owed < MAX_OWED)) {
    const part = Math.min(PART_LEN, len - done);
    mux.onBytes(now, slab, off + done, part);
    done += part;
    if (!share?.more()) break;
  }
  mux.onBatchEnd(now);
  return done;
}
