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

  it('the lab is for all, the demo is of the command line alone', () => {
    const others = ['bench', 'test'].flatMap((top) =>
      readdirSync(top, { recursive: true, encoding: 'utf8' }).map((file) => join(top, file)),
    );
    const users = others
      .filter((file) => file.endsWith('.ts') && !file.startsWith(join('test', 'cli', 'demo')))
      .filter((file) => /from '[^']*cli\/demo\//.test(readFileSync(file, 'utf8')));
    assert.deepEqual(users, []);
  });

  it('finds the sources', () => {
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
