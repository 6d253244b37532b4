/** Upstream proxies for drop-ins whose command line has no place for them: the launcher's environment says so. */
import type { CommandLine } from '../config.ts';
import type { GivenWords } from '../given-words.ts';

const VARIABLES = {
  upstreamProxy: 'HAWSER_UPSTREAM_PROXY',
  proxyExclude: 'HAWSER_PROXY_EXCLUDE',
} as const;
const AUTH_FILE = 'HAWSER_PROXY_AUTH_FILE';

export interface OwnProxy {
  /** Keys and values as those of `hawser run`; lists are separated by spaces. */
  readonly options: CommandLine;
  /** What was given for them. */
  readonly words: GivenWords;
}

export function ownProxy(env: NodeJS.ProcessEnv): OwnProxy {
  const lists = Object.entries(VARIABLES).flatMap(([key, name]) => {
    const values = (env[name] ?? '').split(/\s+/).filter((value) => value !== '');
    return values.length === 0 ? [] : [{ key, name, values }];
  });
  const file = env[AUTH_FILE];
  return {
    options: {
      ...Object.fromEntries(lists.map(({ key, values }) => [key, values])),
      ...(file ? { proxyAuthFile: file } : {}),
    },
    words: {
      ...Object.fromEntries(
        lists.map(({ key, name, values }) => [key, values.map((value) => `${name}=${value}`)]),
      ),
      ...(file ? { proxyAuthFile: `${AUTH_FILE}=${file}` } : {}),
    },
  };
}
