/** Programs of this machine taken into a VM, with what they load. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { onPath } from './initramfs.ts';

/**
 * @param programs names or paths
 * @returns absolute paths of them and of their shared libraries, each once
 * @throws Error when one is not there, or what it loads cannot be told
 */
export function withLibraries(programs: readonly string[]): readonly string[] {
  const files = new Set<string>();
  for (const name of programs) {
    const program = name.startsWith('/') ? name : onPath(name);
    if (program === undefined) throw new Error(`no ${name} on PATH`);
    files.add(program);
    const { stdout, error } = spawnSync('ldd', [program], { encoding: 'utf8' });
    if (error !== undefined) throw new Error(`ldd ${program}: ${error.message}`, { cause: error });
    // `libx.so.1 => /lib/libx.so.1 (0x...)`, and the loader as `/lib64/ld-linux.so.2 (0x...)`.
    for (const [, library = ''] of stdout.matchAll(/(\/\S+) \(0x/g)) files.add(library);
  }
  return [...files];
}

/** As the compiler writes it: `import { a } from 'x';`, `export * from 'x';`, `import 'x';`. */
const IMPORT = /^(?:import|export) (?:[\w$*{},\s]+ from )?'([^']+)';/gm;

/**
 * Every file that Node needs to run a module: those it imports, and theirs; of a package, all of its code. What
 * is imported when it is first used is left out, as an optional package is.
 *
 * @param entry an absolute path
 * @param packageJson says that the modules are such
 */
export function moduleFiles(entry: string, packageJson: string): readonly string[] {
  const files = new Set([packageJson, entry]);
  for (const file of files) {
    if (!file.endsWith('.js') || file.includes('/node_modules/')) continue;
    const text = readFileSync(file, 'utf8');
    for (const [, name = ''] of text.matchAll(IMPORT)) {
      if (name.startsWith('.')) files.add(resolve(dirname(file), name));
      else if (!name.startsWith('node:')) for (const of of packageFiles(name, file)) files.add(of);
    }
  }
  return [...files];
}

/** The code of an installed package, compiled parts too. @param importer who looks for it */
export function packageFiles(name: string, importer: string): readonly string[] {
  for (let dir = dirname(importer); dir !== dirname(dir); dir = dirname(dir)) {
    const root = join(dir, 'node_modules', name);
    if (!existsSync(join(root, 'package.json'))) continue;
    return readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.([cm]?js|json|node)$/.test(path))
      .map((path) => join(root, path));
  }
  throw new Error(`package ${name} is not installed`);
}
