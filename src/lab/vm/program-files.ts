/** Programs of this machine taken into a VM, with what they load. */
import { spawnSync } from 'node:child_process';
import { onPath } from '../on-path.ts';

/**
 * @param programs names or paths
 * @returns absolute paths of them and of their shared libraries, each once
 * @throws Error when one is not there, or what it loads cannot be determined
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
