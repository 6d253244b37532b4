/**
 * Run before and after packing: the package has no source maps, so its modules name none. Here they do again afterwards, for
 * stack traces of what is being worked on.
 *
 *     node dist/tools/source-map-lines.js strip|restore
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** What ends a file, as the compiler and as esbuild write it: the code cache is of a file to the byte. */
const ENDS = [
  ['dist/src', ''],
  ['dist/bin', '\n'],
] as const;

const strips = process.argv[2] === 'strip';
for (const [root, end] of ENDS) {
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const path = join(root, name);
    if (!name.endsWith('.js') || !existsSync(`${path}.map`)) continue;
    const line = `//# sourceMappingURL=${basename(path)}.map${end}`;
    const text = readFileSync(path, 'utf8');
    if (text.endsWith(line) !== strips) continue;
    writeFileSync(path, strips ? text.slice(0, -line.length) : text + line);
  }
}
