import { isRecord } from '../call-arguments.ts';
import { OptionsError, printable } from '../option-problem.ts';
import type { NetworkOptions } from '../options.ts';
import type { NetworkHooks } from './hooks.ts';

const NAMES = ['onFlow', 'onDns', 'onPublishedClient'] as const;
const TIMEOUT_MAX_MS = 60_000;

/** @throws OptionsError for what is no function, or no time */
export function checkHooks(options: NetworkOptions & NetworkHooks): {
  readonly hooks: NetworkHooks;
  readonly others: NetworkOptions;
} {
  const given: unknown = options;
  if (!isRecord(given)) return { hooks: {}, others: options };
  const { onFlow, onDns, onPublishedClient, hookTimeout, ...others } = options;
  const hooks = { onFlow, onDns, onPublishedClient, hookTimeout };
  const problems = NAMES.flatMap((name) => {
    const hook: unknown = hooks[name];
    if (hook === undefined || typeof hook === 'function') return [];
    return [`${name} must be a function, got ${printable(hook, true)}`];
  });
  if (hookTimeout !== undefined && !isTime(hookTimeout)) {
    const got = printable(hookTimeout, true);
    problems.push(`hookTimeout must be an integer from 1 to ${TIMEOUT_MAX_MS}, got ${got}`);
  }
  if (problems.length > 0) throw new OptionsError(problems);
  return { hooks, others };
}

const isTime = (value: unknown): boolean =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= TIMEOUT_MAX_MS;
