/** The daemon of systemd-resolved that `.ci/resolved` unpacks. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const { HAWSER_TEST_RESOLVED: DIR = '/var/cache/hawser-test/resolved' } = process.env;

/** @throws Error that says how to get it */
export function findResolved(): string {
  const path = join(DIR, 'systemd-resolved');
  if (!existsSync(path)) throw new Error(`no ${path}: run .ci/resolved ${DIR}`);
  return path;
}
