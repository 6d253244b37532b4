/**
 * Signals before the daemon listens for them itself: there is nothing to clean up yet, but the exit
 * status is that of a wanted end, not that of a death by a signal.
 */
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

const leave = (): never => process.exit(0);

export function exitOnSignals(): void {
  for (const signal of SIGNALS) process.on(signal, leave);
}

/** Others listen now. */
export function keepOnSignals(): void {
  for (const signal of SIGNALS) process.off(signal, leave);
}
