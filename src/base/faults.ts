/**
 * Faults: exceptions of our own code, which are bugs.
 *
 * An exception ends the flow whose work it interrupted, and nothing else: the loop of the process serves every guest.
 * So every entry point into our code, of a socket, a timer or a link, catches exceptions, passes them to
 * {@link reportFault}, then ends its flow. Faults are counted by seam, and logged with their stack once per place in
 * the code. Where no watch is installed, as in unit tests, the exception propagates.
 *
 * The watches belong to the process, because an entry point does not know which network it serves: each of two networks in
 * a process counts, and logs, the faults of both.
 */
import { Counters } from './counters.ts';
import type { Log } from './log.ts';

/** Places kept as logged; beyond them faults are only counted. */
export const MAX_FAULT_PLACES = 64;

const watchers = new Set<FaultWatch>();

export class FaultWatch {
  /** By seam. */
  readonly counts: Counters<string> = new Counters();
  private readonly log: Log;
  private readonly places = new Set<string>();

  /** In force until {@link close}. */
  constructor(log: Log) {
    this.log = log;
    watchers.add(this);
  }

  close(): void {
    watchers.delete(this);
  }

  /** @internal for {@link reportFault} */
  add(seam: string, error: unknown): void {
    this.counts.add(seam);
    const place = `${seam} ${placeOf(error)}`;
    if (this.places.has(place) || this.places.size >= MAX_FAULT_PLACES) return;
    this.places.add(place);
    this.log.error(
      { seam, err: error },
      'a bug in hawser ended one flow; the others go on. Please report it with this stack',
    );
  }
}

/**
 * Call it from a `catch` at a seam, then end the flow.
 *
 * @param seam where the exception came out: `frame`, `timer`, `datagram`
 * @throws `error` where no watch is installed
 */
export function reportFault(seam: string, error: unknown): void {
  if (watchers.size === 0) throw error;
  for (const watch of watchers) watch.add(seam, error);
}

/** The first line of the stack below the message. */
function placeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return /^\s+at .*$/m.exec(error.stack ?? '')?.[0].trim() ?? error.message;
}
