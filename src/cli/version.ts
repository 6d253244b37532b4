import { readFileSync } from 'node:fs';

/** Set by the bundler. */
declare const HAWSER_VERSION: string | undefined;

/** The version in package.json, which stands three directories above the compiled file. */
export function packageVersion(): string {
  if (typeof HAWSER_VERSION === 'string') return HAWSER_VERSION;
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? 'unknown';
}
