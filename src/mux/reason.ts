/** Why a channel is over, and the codes that stand for it in a Reset. */

export type ChannelEnd =
  /** Both ends finished sending. */
  | 'finished'
  /** The peer gave up on it, or closed it while we were still sending. */
  | 'reset-by-peer'
  /** Nothing listens at the destination; of a plain VPNKit peer: closed before the first byte. */
  | 'refused'
  | 'unreachable'
  | 'timed-out'
  /** The other end's policy does not allow the destination. */
  | 'prohibited'
  /** The other end has no room for another channel. */
  | 'limit'
  /** The other end is shutting down. */
  | 'going-away'
  /** More was sent than the window allowed. */
  | 'window-overrun'
  /** The peer broke the protocol on this channel. */
  | 'protocol'
  /** The memory budget is spent. */
  | 'no-memory'
  /** The link below is gone. */
  | 'link-down';

/** What an open may be refused with. */
export type RefusalReason = Exclude<ChannelEnd, 'finished' | 'link-down'>;

/** Index = code on the wire: append only. */
const CODES: readonly RefusalReason[] = [
  'reset-by-peer',
  'refused',
  'unreachable',
  'timed-out',
  'prohibited',
  'limit',
  'going-away',
  'window-overrun',
  'protocol',
  'no-memory',
];

export const resetCodeOf = (reason: RefusalReason): number => CODES.indexOf(reason);

/** An unknown code of a later version is a plain reset. */
export const reasonOfCode = (code: number): RefusalReason => CODES[code] ?? 'reset-by-peer';
