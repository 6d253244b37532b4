/** Steps that run one after another: each is shown as it goes, and its report kept. */
import { type Act, attempt, type StepReport } from '../../lab/step-report.ts';

/** Shows the steps as they go. */
export interface Display {
  begin(step: string, totalBytes: number): void;
  progress(bytes: number): void;
  end(report: StepReport): void;
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
