/** Programs of this machine taken into a VM, with the shared libraries that they load. */
import { spawnSync } from 'node:child_process';
import { isAbsolute } from 'node:path';
import { onPath } from '../../../src/cli/demo/vm/initramfs.ts';

/** @param programs names, or absolute paths. @returns absolute paths, each once */
export function withLibraries(programs: readonly string[]): readonly string[] {
  const files = new Set<string>();
  for (const name of programs) {
    const program = isAbsolute(name) ? name : onPath(name);
    if (program === undefined) throw new Error(`no ${name} on PATH`);
    files.add(program);
    const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
    // `libx.so.1 => /lib/libx.so.1 (0x...)`, and the loader as `/lib64/ld-linux.so.2 (0x...)`.
    for (const [, library = ''] of stdout.matchAll(/(\/\S+) \(0x/g)) files.add(library);
  }
  return [...files];
}
