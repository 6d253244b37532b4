/**
 * A connection to the first of a proxy's addresses that answers: the next one is tried where one fails, and beside one
 * that is silent (RFC 8305 §5). A proxy of both families, one of which leads nowhere, costs a quarter of a second so.
 */
import type { Connecting } from '../../native/stream/host-stream.ts';

/** RFC 8305 §8: Connection Attempt Delay. */
const BESIDE_MS = 250;
/** Of one name: what a host answers beyond that is not tried. */
const MAX_ADDRESSES = 8;

/** One of the two is called, once. */
export interface AttemptOwner<T> {
  onConnected(made: T): void;
  /** @param code of the attempt that failed last */
  onConnectFailed(code: string): void;
}

export type StartAttempt<T> = (address: string, owner: AttemptOwner<T>) => Connecting;

export class FirstAddress<T> implements Connecting {
  private readonly start: StartAttempt<T>;
  private readonly owner: AttemptOwner<T>;
  private readonly besideMs: number;
  private readonly waiting: string[];
  private readonly attempts = new Set<Connecting>();
  private timer: NodeJS.Timeout | undefined = undefined;

  /**
   * @param addresses one at least, the best first
   * @param start calls its owner later, and not after it is cancelled
   */
  constructor(
    addresses: readonly string[],
    start: StartAttempt<T>,
    owner: AttemptOwner<T>,
    besideMs: number = BESIDE_MS,
  ) {
    this.waiting = addresses.slice(0, MAX_ADDRESSES);
    this.start = start;
    this.owner = owner;
    this.besideMs = besideMs;
    this.next();
  }

  cancel(): void {
    clearTimeout(this.timer);
    this.waiting.length = 0;
    for (const attempt of this.attempts) attempt.cancel();
    this.attempts.clear();
  }

  private next(): void {
    clearTimeout(this.timer);
    const address = this.waiting.shift();
    if (address === undefined) return;
    const attempt = this.start(address, {
      onConnected: (made) => {
        this.attempts.delete(attempt);
        this.cancel();
        this.owner.onConnected(made);
      },
      onConnectFailed: (code) => {
        this.attempts.delete(attempt);
        if (this.waiting.length > 0) this.next();
        else if (this.attempts.size === 0) this.owner.onConnectFailed(code);
      },
    });
    this.attempts.add(attempt);
    if (this.waiting.length > 0) {
      this.timer = setTimeout(() => this.next(), this.besideMs).unref();
    }
  }
}
