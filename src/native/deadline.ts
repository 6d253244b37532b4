/**
 * A signal that aborts with another, or when its time is up. `AbortSignal.any` would refer to a signal of
 * `AbortSignal.timeout` weakly: collected as garbage, it never aborts.
 */
export class Deadline {
  private readonly controller = new AbortController();
  private readonly other: AbortSignal;
  private readonly timer: NodeJS.Timeout;
  private readonly onOther = (): void => this.controller.abort(this.other.reason);

  constructor(ms: number, other: AbortSignal) {
    this.other = other;
    this.timer = setTimeout(() => {
      this.controller.abort(new DOMException('the time is up', 'TimeoutError'));
    }, ms);
    this.timer.unref();
    if (other.aborted) this.onOther();
    else other.addEventListener('abort', this.onOther, { once: true });
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** What had to be done in time is done. */
  end(): void {
    clearTimeout(this.timer);
    this.other.removeEventListener('abort', this.onOther);
  }
}
