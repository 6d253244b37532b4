/** Time that a busy machine took: what a test waits for may be bounded without it. */
import { readFileSync } from 'node:fs';

/** @returns ms that the main thread was ready to run and had no CPU, since its start; 0 where the kernel does not count it */
export function runDelayMs(): number {
  try {
    const [, delayNs] = readFileSync('/proc/self/schedstat', 'latin1').split(' ');
    return Number(delayNs) / 1e6;
  } catch {
    return 0;
  }
}
