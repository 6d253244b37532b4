/**
 * The optional native calls of a running network: for pings and for ICMP errors about UDP.
 *
 * Loading koffi blocks the process for 10 ms, and for much longer from a cold disk. Readiness does not
 * wait for it, and a guest's first ping should not either: it is loaded when first needed, or else by
 * {@link loadSoon} when a guest's first connections have been made.
 */
import type { Log } from '../base/log.ts';
import { once } from '../base/once.ts';
import { NativeUnavailableError } from '../native/errors.ts';
import { loadPosix } from '../native/load.ts';
import type { Posix } from '../native/posix.ts';

const SOON_MS = 1_000;

export class NativeCalls {
  private readonly log: Log;
  private readonly descriptors: number;
  private readonly load: (wanted: string) => Posix;
  private readonly get: () => Posix | undefined = once(() => this.tryLoad());
  private readonly users: ((posix: Posix) => void)[] = [];
  private timer: NodeJS.Timeout | undefined = undefined;

  /** @param descriptors that the process may come to use, all in all */
  constructor(log: Log, descriptors: number, load: (wanted: string) => Posix = loadPosix) {
    this.log = log;
    this.descriptors = descriptors;
    this.load = load;
  }

  /** Undefined where they are not available, which is logged once. */
  get posix(): Posix | undefined {
    return this.get();
  }

  /** Call `use` when they are loaded; this does not load them. */
  whenLoaded(use: (posix: Posix) => void): void {
    this.users.push(use);
  }

  loadSoon(delayMs: number = SOON_MS): void {
    this.timer ??= setTimeout(() => this.posix, delayMs).unref();
  }

  /** Cancels {@link loadSoon}. */
  close(): void {
    clearTimeout(this.timer);
  }

  private tryLoad(): Posix | undefined {
    this.close();
    try {
      const posix = this.load('let guests ping, or see ICMP errors for UDP');
      posix.reserveDescriptors(this.descriptors);
      for (const use of this.users) use(posix);
      return posix;
    } catch (error) {
      if (!(error instanceof NativeUnavailableError)) throw error;
      this.log.warn({}, error.message);
      this.log.debug({ err: error }, 'native calls are not available');
      return undefined;
    }
  }
}
