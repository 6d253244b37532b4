/**
 * Run by the build: declarations import what they need as the compiled modules do, by names that end in `.js`. The compiler
 * rewrites names in modules alone, and the sources that declarations name are not in the package.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = 'dist/src';

for (const name of readdirSync(ROOT, { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('.d.ts')) continue;
  const path = join(ROOT, name);
  const text = readFileSync(path, 'utf8');
  const rewritten = text.replace(/(\bfrom |\bimport\()(['"])(\.[^'"]*)\.ts\2/g, '$1$2$3.js$2');
  if (rewritten !== text) writeFileSync(path, rewritten);
}
