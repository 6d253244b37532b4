/**
 * Feeds a multiplexer what its link has read, in parts, within the link's share of each turn: a read of small frames can
 * open thousands of channels.
 */
import type { Slab } from '../../base/slab.ts';
import type { Instant } from '../../base/time.ts';
import type { Mux } from '../../mux/mux.ts';
import type { TurnShare } from '../turns.ts';

/** It has room for some 150 opens. */
const PART_LEN = 4096;
/** Requests and channels to report about, beyond which nothing more is taken in. */
const MAX_OWED = 32;

/**
 * One batch. Where requests are paced, those that waited come first; ask `mux.requestsWaiting` whether some wait on.
 *
 * @param share begun by the caller; undefined: all bytes, and no requests that are paced
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
  } else {
    let more = takeRequests(now, mux, share);
    while (more && done < len && mux.owed < MAX_OWED) {
      const part = Math.min(PART_LEN, len - done);
      mux.onBytes(now, slab, off + done, part);
      done += part;
      more = share.more() && takeRequests(now, mux, share);
    }
  }
  mux.onBatchEnd(now);
  return done;
}

/** @returns whether the share has time for more */
function takeRequests(now: Instant, mux: Mux, share: TurnShare): boolean {
  if (mux.requestsWaiting === 0) return true;
  let more = true;
  mux.takeRequests(now, () => {
    more = share.moreNow();
    return more;
  });
  return more;
}
