/**
 * UDP ports of the host's loopbacks where nobody listens, as an ICMP error has said: the datagrams that follow go to the
 * same port of the other loopback. Remembered for a while, since a server may come.
 */
import type { Instant } from '../../base/time.ts';

export const SILENT_MS = 10_000;
export const SILENT_MAX = 1024;

export class SilentLoopbacks {
  /** By address and port, the oldest first: when each is tried again. */
  private readonly until = new Map<string, Instant>();

  add(now: Instant, address: string, port: number): void {
    const key = `${address} ${port}`;
    this.until.delete(key);
    if (this.until.size >= SILENT_MAX) {
      for (const oldest of this.until.keys()) {
        this.until.delete(oldest);
        break;
      }
    }
    this.until.set(key, now + SILENT_MS);
  }

  has(now: Instant, address: string, port: number): boolean {
    if (this.until.size === 0) return false;
    return now < (this.until.get(`${address} ${port}`) ?? now);
  }
}
