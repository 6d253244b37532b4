/**
 * Has it read who else listens on the host: once a second, and first before a guest can ask for a port, or soon after the
 * start. Not during it: the kernel writes its whole table of connections for that, and a launcher waits.
 */
const SOON_MS = 50;
const SAMPLE_MS = 1000;

export class PlaceSampler {
  private readonly sample: () => void;
  private timer: NodeJS.Timeout;
  private hasSampled = false;

  constructor(sample: () => void) {
    this.sample = sample;
    this.timer = setTimeout(() => this.require(), SOON_MS).unref();
  }

  /** A guest has come: what it may have is known when this returns. */
  require(): void {
    if (this.hasSampled) return;
    this.hasSampled = true;
    clearTimeout(this.timer);
    this.timer = setInterval(this.sample, SAMPLE_MS).unref();
    this.sample();
  }

  close(): void {
    this.hasSampled = true;
    clearTimeout(this.timer);
  }
}
