/** A step that a guest takes: timed, and reported however it ends. */
import type { OnProgress } from './guest/embedded-guest.ts';

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

export interface Outcome {
  readonly detail: string;
  /** Where the time taken is not the figure wanted. */
  readonly ms?: number;
  readonly bytes?: number;
}

export type Act = (onProgress: OnProgress) => Promise<Outcome>;

/** Thrown by a step that cannot be tried here; the message says why. */
export class LeftOutError extends Error {
  override readonly name = 'LeftOutError';
  readonly code = 'ERR_HAWSER_LEFT_OUT';
}

export async function attempt(step: string, act: Act, onProgress: OnProgress): Promise<StepReport> {
  const begin = performance.now();
  try {
    const outcome = await act(onProgress);
    return { step, ok: true, ms: performance.now() - begin, ...outcome };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const ms = performance.now() - begin;
    if (error instanceof LeftOutError) return { step, ok: false, skipped: true, ms, detail };
    return { step, ok: false, ms, detail };
  }
}
