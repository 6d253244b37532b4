/**
 * A debugger that SIGUSR1 opened while Node itself started, before the first statement of the program takes that signal.
 * Called once the daemon is ready, because it loads a module.
 */
import type { Log } from '../base/log.ts';

export function closeEarlyDebugger(log: Log): void {
  const asked = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''];
  if (asked.some((text) => text.includes('--inspect'))) return;
  const inspector = process.getBuiltinModule('node:inspector');
  if (inspector.url() === undefined) return;
  inspector.close();
  log.warn({}, 'a debugger was open, which nobody asked for with --inspect: closed');
}
