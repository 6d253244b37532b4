import { setTimeout as sleep } from 'node:timers/promises';

/** @throws naming `what` after `timeoutMs` */
export async function waitFor(
  what: string,
  probe: () => boolean,
  timeoutMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!probe()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(1);
  }
}
