import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

/** Lowest first. A file imports from its own layer and from layers before it. */
const LAYERS = [
  'base',
  'wire',
  'stack',
  'mux',
  'services',
  'native',
  'proxy',
  'transports',
  'control',
  'network',
  'lab',
  'cli',
];
/** These do no I/O: no `node:` imports. */
const PURE = new Set(['base', 'wire', 'stack', 'mux', 'services']);
const SRC = 'src';

describe('architecture', () => {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((f) =>
    f.endsWith('.ts'),
  );

  it('finds the sources it is meant to judge', () => {
    assert.ok(files.length > 3);
  });

  for (const file of files) {
    it(`${file} imports only downward`, () => {
      const layer = file.split('/')[0] ?? '';
      const text = readFileSync(join(SRC, file), 'utf8');
      for (const [, spec = ''] of text.matchAll(
        /^(?:import|export)[^'"]*?from\s+['"]([^'"]+)['"]/gms,
      )) {
        if (!spec.startsWith('.')) {
          assert.ok(!(PURE.has(layer) && spec.startsWith('node:')), `${spec} in a pure layer`);
          continue;
        }
        const target = relative(SRC, normalize(join(SRC, dirname(file), spec))).split('/')[0] ?? '';
        assert.ok(LAYERS.indexOf(target) <= LAYERS.indexOf(layer), `${layer} imports ${target}`);
      }
    });
  }
});
