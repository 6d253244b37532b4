/** Run by the build: the manual pages of the program's own commands and options, in `dist/man`. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manPages } from '../src/cli/man-page.ts';
import { makeProgram } from '../src/cli/program.ts';
import { packageVersion } from '../src/network/version.ts';

const DIR = 'dist/man';

rmSync(DIR, { recursive: true, force: true });
mkdirSync(DIR, { recursive: true });
for (const [name, page] of manPages(makeProgram(), packageVersion())) {
  writeFileSync(join(DIR, name), page);
}
