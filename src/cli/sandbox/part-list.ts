import type { PartState, SandboxPart } from '../../native/sandbox/parts.ts';
import { messageOf, RunError } from '../../network/errors.ts';

/** What holds of the sandbox. One that must be whole ends the start with the first part that cannot be had. */
export class PartList {
  readonly states: PartState[] = [];
  private readonly mustHold: boolean;

  constructor(mustHold: boolean) {
    this.mustHold = mustHold;
  }

  /** @param restrict returns what holds then @throws RunError when it fails, and must hold */
  attempt(part: SandboxPart, restrict: () => string): void {
    try {
      this.states.push({ part, holds: true, detail: restrict() });
    } catch (error) {
      this.fail(part, messageOf(error));
    }
  }

  fail(part: SandboxPart, why: string): void {
    if (this.mustHold) {
      throw new RunError(
        `--sandbox strict: ${part}: ${why}; --sandbox on goes on with what this system has`,
      );
    }
    this.states.push({ part, holds: false, detail: why });
  }
}
