/**
 * A debugger that SIGUSR1 opened while Node itself started, before the first statement of the program takes that signal.
 * Looked for once the program is ready, because that loads a module; and again, because Node may start one more, whose
 * start was pending, when the event loop first polls.
 */
import type { Log } from '../base/log.ts';

const AT_MS = [0, 100, 1_000];

export function closeEarlyDebugger(log: Log): void {
  const asked = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''];
  if (asked.some((text) => text.includes('--inspect'))) return;
  for (const atMs of AT_MS) setTimeout(() => closeDebugger(log), atMs).unref();
}

function closeDebugger(log: Log): void {
  const inspector = process.getBuiltinModule('node:inspector');
  if (inspector.url() === undefined) return;
  inspector.close();
  log.warn({}, 'a debugger was open, which nobody asked for with --inspect: closed');
}
