/**
 * Signals before the daemon listens for them itself: there is nothing to clean up yet, but the exit
 * status is that of a wanted end, not that of a death by a signal.
 */
export const END_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGUSR2'] as const;

const leave = (): never => process.exit(0);
const ignore = (): void => {};

export function exitOnSignals(): void {
  for (const signal of END_SIGNALS) process.on(signal, leave);
  process.on('SIGHUP', ignore);
}

/** Others listen now. */
export function keepOnSignals(): void {
  for (const signal of END_SIGNALS) process.off(signal, leave);
  process.off('SIGHUP', ignore);
}
