/**
 * The allocation of the descriptors that this process may open. Nearly each flow of a guest is a socket here: guests
 * share what is left of the limit, and some are kept for the host: the control API, `hawser expose`, links.
 */
import { readdirSync } from 'node:fs';
import { Budget } from '../base/shares/budget.ts';

/** Of a limit that is not known, or enormous. */
const SOCKETS_MAX = 65_536;
/** Of what is left, and not more than so many: most are for clients of the control API (`clientLimits`). */
const KEPT_PART = 4;
const KEPT_MAX = 1_280;

/**
 * @param openFiles the limit of this process; infinite where it is not known
 * @param inUse descriptors open already
 */
export function socketBudget(openFiles: number, inUse: number): Budget {
  const whole = Math.max(Math.min(openFiles - inUse, SOCKETS_MAX), 1);
  return new Budget('sockets', whole, Math.min(Math.floor(whole / KEPT_PART), KEPT_MAX));
}

/** Descriptors that this process has open. */
export function openFilesNow(directory = '/proc/self/fd'): number {
  try {
    return readdirSync(directory).length;
  } catch {
    return 0; // not Linux
  }
}
