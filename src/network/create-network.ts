import { type Log, SILENT } from '../base/log.ts';
import { checkOptions } from './check-options.ts';
import { fileProblems } from './file-problems.ts';
import { checkHooks } from './hooks/check-hooks.ts';
import type { NetworkHooks } from './hooks/hooks.ts';
import { openNetwork } from './network.ts';
import type { Network } from './network-interface.ts';
import { OptionsError, optionSentence, printable } from './option-problem.ts';
import type { NetworkOptions } from './options.ts';

/**
 * Start a network.
 *
 * @throws OptionsError that lists all invalid options; else an Error whose message states what failed, on
 *   what, and what to do. Nothing is left behind
 */
export async function createNetwork(
  options: NetworkOptions & NetworkHooks = {},
  log: Log = SILENT,
): Promise<Network> {
  checkLog(log);
  const { hooks, others } = checkHooks(options);
  const config = checkOptions(others);
  const problems = fileProblems(config).map(({ key, path, why }) => `${key} ${path} ${why}`);
  if (problems.length > 0) throw new OptionsError(problems);
  return await openNetwork(config, log, undefined, hooks, optionSentence);
}

/** Check the argument of a program without types. */
function checkLog(log: unknown): void {
  const isLog =
    typeof log === 'object' &&
    log !== null &&
    Object.keys(SILENT).every((level) => typeof Reflect.get(log, level) === 'function');
  if (isLog) return;
  const levels = Object.keys(SILENT).join(', ');
  throw new OptionsError([
    `the log must be an object with the functions ${levels}, got ${printable(log, true)}`,
  ]);
}
