import type { Clock } from '../../src/base/time.ts';
import { Turns } from '../../src/proxy/turns.ts';

/** For links under test: no others share them. */
export const ownTurns = (
  clock: Pick<Clock, 'now'> = { now: () => performance.now() },
  defer: (run: () => void) => unknown = setImmediate,
): Turns => new Turns({ clock, owed: () => 0, defer });
