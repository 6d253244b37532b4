/**
 * `enter.ts` in the program of first starts (`../boot/program-for.ts`): where there is no second start, the daemon's program
 * begins anew, in this one.
 */
import type { Start } from '../boot/program-file.ts';
import { DAEMON } from '../boot/program-for.ts';
import type { DaemonSandbox } from '../daemon.ts';
import { keepOnSignals } from '../early-signals.ts';
import { type FirstStart, type Kept, startAgain } from './first-start.ts';
import { partsOfLauncher } from './launcher.ts';

/** The bundle's parameter (`../boot/program-file.ts`). */
declare const HAWSER_START: Start;

export async function enterSandbox(start: FirstStart, kept: Kept = {}): Promise<DaemonSandbox> {
  const { sandbox: mode, user } = start.options;
  const isGiven = user === undefined && partsOfLauncher(process.env) !== undefined;
  if ((mode !== 'off' || user !== undefined) && !isGiven) await startAgain(start, kept);
  HAWSER_START.begin(DAEMON);
  keepOnSignals(); // the other program takes them by now
  return await new Promise<never>(() => {});
}
