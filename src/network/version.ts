import { readFileSync } from 'node:fs';
import { bundledVersion, distFile } from './own-files.ts';

/** The version in package.json. */
export function packageVersion(): string {
  if (bundledVersion !== undefined) return bundledVersion;
  const text = readFileSync(distFile('../package.json'), 'utf8');
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? 'unknown';
}
