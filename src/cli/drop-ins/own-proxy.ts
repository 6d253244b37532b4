/** Upstream proxies for drop-ins whose command line has no place for them: the launcher's environment says so. */
import type { CommandLine } from '../config.ts';

const VARIABLES = {
  upstreamProxy: 'HAWSER_UPSTREAM_PROXY',
  proxyExclude: 'HAWSER_PROXY_EXCLUDE',
} as const;
const AUTH_FILE = 'HAWSER_PROXY_AUTH_FILE';

/** The options of `hawser run` that it gives; lists are separated by spaces. */
export function ownProxy(env: NodeJS.ProcessEnv): CommandLine {
  const lists = Object.entries(VARIABLES).flatMap(([key, name]) => {
    const words = (env[name] ?? '').split(/\s+/).filter((word) => word !== '');
    return words.length === 0 ? [] : [[key, words] as const];
  });
  const file = env[AUTH_FILE];
  return { ...Object.fromEntries(lists), ...(file ? { proxyAuthFile: file } : {}) };
}
