/** Removes what an earlier build compiled from a file that has gone since: else it would be tested, and packed. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const DIST = 'dist';
const COMPILED = /\.(js|js\.map|d\.ts)$/;

for (const top of ['src', 'test', 'bench', 'tools']) {
  for (const name of readdirSync(join(DIST, top), { encoding: 'utf8', recursive: true })) {
    if (!COMPILED.test(name)) continue;
    const source = join(top, name.replace(COMPILED, ''));
    if (!existsSync(`${source}.ts`) && !existsSync(`${source}.d.ts`)) rmSync(join(DIST, top, name));
  }
}
