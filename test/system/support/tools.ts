/** The C programs of `bench/tools`, compiled on demand into `dist/tools`. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

const SOURCES = 'bench/tools';
const BUILT = 'dist/tools';

/** @returns the path of the program */
export function tool(name: 'tapbridge' | 'netbench'): string {
  const source = join(SOURCES, `${name}.c`);
  const built = join(BUILT, name);
  if (existsSync(built) && statSync(built).mtimeMs > statSync(source).mtimeMs) return built;
  mkdirSync(BUILT, { recursive: true });
  const draft = `${built}.${process.pid}`;
  execFileSync('gcc', ['-O2', '-pthread', '-o', draft, source]);
  renameSync(draft, built);
  return built;
}
