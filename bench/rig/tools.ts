/** The C programs of `bench/tools`, compiled on demand into `dist/tools`. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** This file stands three directories below, once compiled. */
export const PACKAGE_ROOT: string = fileURLToPath(new URL('../../../', import.meta.url));
/** One of those that users start. */
export const ownProgram = (name: string): [string, string] => [
  process.execPath,
  join(PACKAGE_ROOT, 'dist/bin', `${name}.js`),
];
const SOURCES = join(PACKAGE_ROOT, 'bench/tools');
const BUILT = join(PACKAGE_ROOT, 'dist/tools');

export type Tool = 'tapbridge' | 'netbench' | 'attacker' | 'steady' | 'target';

/** Of the source, and of the headers that are its own: `NAME-PART.h`. */
function changedMs(name: Tool): number {
  const parts = readdirSync(SOURCES).filter(
    (file) => file === `${name}.c` || (file.startsWith(`${name}-`) && file.endsWith('.h')),
  );
  return Math.max(...parts.map((file) => statSync(join(SOURCES, file)).mtimeMs));
}

/** @returns the path of the program */
export function tool(name: Tool): string {
  const source = join(SOURCES, `${name}.c`);
  const built = join(BUILT, name);
  if (existsSync(built) && statSync(built).mtimeMs > changedMs(name)) return built;
  mkdirSync(BUILT, { recursive: true });
  const draft = `${built}.${process.pid}`;
  execFileSync('gcc', ['-O2', '-pthread', '-o', draft, source]);
  renameSync(draft, built);
  return built;
}
