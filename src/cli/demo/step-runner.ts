/** Steps that run one after another: each is timed, shown, and reported whatever becomes of it. */
import type { OnProgress } from '../../lab/guest/embedded-guest.ts';

export interface StepReport {
  readonly step: string;
  readonly ok: boolean;
  /** It could not be tried here: no failure, and no success either; `detail` says why. */
  readonly skipped?: true;
  readonly ms: number;
  /** For people: what was reached, or why not. */
  readonly detail: string;
  readonly bytes?: number;
}

/** Shows the steps as they go. */
export interface Display {
  begin(step: string, totalBytes: number): void;
  progress(bytes: number): void;
  end(report: StepReport): void;
}

export interface Outcome {
  readonly detail: string;
  /** Where the time taken is not the figure wanted. */
  readonly ms?: number;
  readonly bytes?: number;
}

export type Act = (onProgress: OnProgress) => Promise<Outcome>;

/** Thrown by a step that cannot be tried here; the message says why. */
export class StepSkipped extends Error {
  override readonly name = 'StepSkipped';
}

export class StepRunner {
  readonly reports: StepReport[] = [];
  private readonly display: Display;

  constructor(display: Display) {
    this.display = display;
  }

  /** @returns whether it succeeded */
  async run(step: string, totalBytes: number, act: Act): Promise<boolean> {
    this.begin(step, totalBytes);
    const report = await attempt(step, act, (done) => this.display.progress(done));
    this.end(report);
    return report.ok;
  }

  /** Announce a step that somebody else runs. */
  begin(step: string, totalBytes = 0): void {
    this.display.begin(step, totalBytes);
  }

  end(report: StepReport): void {
    this.display.end(report);
    this.reports.push(report);
  }
}

/** @returns what to report of the step */
export async function attempt(step: string, act: Act, onProgress: OnProgress): Promise<StepReport> {
  const begin = performance.now();
  try {
    const outcome = await act(onProgress);
    return { step, ok: true, ms: performance.now() - begin, ...outcome };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const ms = performance.now() - begin;
    if (error instanceof StepSkipped) return { step, ok: false, skipped: true, ms, detail };
    return { step, ok: false, ms, detail };
  }
}
