/**
 * Work of the host's own that takes long: done in slices between turns of the event loop, one piece of work at a time, so
 * that guests are served meanwhile.
 */

/** What a turn has for links. */
const SLICE_MS = 1;

/** Its steps take microseconds each, but for few that cannot be parted: each of these ends a slice. */
export type Steps<T> = Generator<void, T, void>;

export class SlicedWork {
  private readonly onSlice: (ms: number) => void;
  private last: Promise<unknown> = Promise.resolve();

  /** @param onSlice is told the length of each slice */
  constructor(onSlice: (ms: number) => void = () => {}) {
    this.onSlice = onSlice;
  }

  /** The first slice is done behind all work that was asked for before. */
  run<T>(steps: Steps<T>): Promise<T> {
    const done = this.last.then(() => this.work(steps));
    this.last = done.catch(() => {});
    return done;
  }

  private work<T>(steps: Steps<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const slice = (): void => {
        const from = performance.now();
        try {
          do {
            const { done, value } = steps.next();
            if (done === true) {
              this.onSlice(performance.now() - from);
              resolve(value);
              return;
            }
          } while (performance.now() - from < SLICE_MS);
        } catch (error) {
          reject(error);
          return;
        }
        this.onSlice(performance.now() - from);
        setImmediate(slice);
      };
      setImmediate(slice); // what is handed over has taken its time
    });
  }
}

/** All of it now. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
