/** Wait for a condition, never for a time. */
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;
const STABLE_POLLS = 40;

/**
 * @param probe undefined or false: not yet
 * @throws Error naming `what` after `timeoutMs`
 */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last = '';
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}${last}`);
    await sleep(POLL_MS);
  }
}

/** Wait until `probe` has given the same number for a while, and at least `atLeast`. */
export async function untilStable(
  what: string,
  probe: () => number | Promise<number>,
  atLeast: number,
  timeoutMs = 30_000,
): Promise<number> {
  let value = -1;
  let same = 0;
  return await until(
    `${what} to stand still at ${atLeast} or more`,
    async () => {
      const next = await probe();
      same = next === value ? same + 1 : 0;
      value = next;
      return same >= STABLE_POLLS && value >= atLeast ? value : undefined;
    },
    timeoutMs,
  );
}
