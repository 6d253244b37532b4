/** How long the work at hand may keep the event loop. */
export interface TurnLimit {
  /**
   * Whether there is time for more in this turn of the event loop; the rest is for a later one. It reads the clock: to
   * be asked between pieces of work of some microseconds, not for each frame.
   */
  hasTime(): boolean;
}

export const NO_LIMIT: TurnLimit = { hasTime: () => true };
