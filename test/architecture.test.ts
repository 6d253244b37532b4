import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

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
/** Of the package. */
const DOORS = ['index.ts', 'mux/index.ts', 'stack/index.ts'];
const IMPORT = /^(?:import|export)[^'"]*?from\s+['"]([^'"]+)['"]/gms;

const layerOf = (file: string): string =>
  file === 'index.ts' ? 'network' : (file.split('/')[0] ?? '');

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

  it('tests are left out by support/requirements.ts alone, which names them', () => {
    const own = ['architecture.test.ts', join('support', 'requirements.ts')];
    const skipping = readdirSync('test', { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !own.includes(file))
      .filter((file) => /\.skip\(/.test(readFileSync(join('test', file), 'utf8')));
    assert.deepEqual(skipping, []);
  });

  it('finds the sources', () => {
    assert.ok(files.length > 3);
  });

  const importsOf = (file: string): { readonly spec: string; readonly target: string }[] =>
    [...readFileSync(join(SRC, file), 'utf8').matchAll(IMPORT)].map(([, spec = '']) => ({
      spec,
      target: spec.startsWith('.') ? normalize(join(dirname(file), spec)) : '',
    }));

  for (const file of files) {
    it(`${file} imports only downward`, () => {
      const layer = layerOf(file);
      for (const { spec, target } of importsOf(file)) {
        if (target === '') {
          assert.ok(!(PURE.has(layer) && spec.startsWith('node:')), `${spec} in a pure layer`);
          continue;
        }
        const below = LAYERS.indexOf(layerOf(target));
        assert.ok(below <= LAYERS.indexOf(layer), `${layer} imports ${target}`);
      }
    });
  }

  it('only the doors of the package hand on what other files export', () => {
    const handing = files.filter((file) =>
      /^export [^=;]*?\bfrom '/m.test(readFileSync(join(SRC, file), 'utf8')),
    );
    assert.deepEqual(handing.sort(), DOORS);
  });

  it('nothing inside goes by the doors', () => {
    const users = files.filter((file) =>
      importsOf(file).some(({ target }) => DOORS.includes(target)),
    );
    assert.deepEqual(users, []);
  });

  it('no file needs itself, of types neither', () => {
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      assert.ok(!path.includes(file), `${[...path, file].join(' -> ')}`);
      if (done.has(file)) return;
      for (const { target } of importsOf(file)) if (target !== '') visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
  });
});
