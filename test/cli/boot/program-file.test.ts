import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cachePath, loadProgram } from '../../../src/cli/boot/program-file.ts';
import { DAEMON, FIRST_START, MAIN } from '../../../src/cli/boot/program-for.ts';

const START = { name: 'one', parent: 1, begin: () => {} };

describe('cli/boot/program-file', () => {
  let dir = '';
  let path = '';
  const said = (): unknown => Reflect.get(process, 'programSaid');
  const write = (word: string): void => {
    writeFileSync(
      path,
      `(function (require, __filename, importFile, { name }) {
        process.programSaid = [name, ${JSON.stringify(word)}, __filename, typeof require('node:fs').statSync];
      })`,
    );
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-program-'));
    path = join(dir, 'program.js');
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
    Reflect.deleteProperty(process, 'programSaid');
  });

  for (const name of [MAIN, DAEMON, FIRST_START]) {
    it(`the build left a cache of ${name} that this Node takes`, () => {
      const built = fileURLToPath(new URL(`../../../bin/${name}.js`, import.meta.url));
      assert.equal(loadProgram(built).cacheAccepted, true);
    });
  }

  it('runs without a cache, and with the one it makes', () => {
    write('hello');
    const first = loadProgram(path);
    assert.equal(first.cacheAccepted, undefined);
    first.run(START);
    assert.deepEqual(said(), ['one', 'hello', path, 'function']);
    writeFileSync(cachePath(path), first.makeCache());
    const second = loadProgram(path);
    assert.equal(second.cacheAccepted, true);
    second.run(START);
    assert.deepEqual(said(), ['one', 'hello', path, 'function']);
  });

  it('runs where its cache cannot be read', () => {
    write('first');
    mkdirSync(cachePath(path));
    loadProgram(path).run(START);
    assert.deepEqual(said(), ['one', 'first', path, 'function']);
  });

  it('runs with a cache of another program, and with a broken one', () => {
    write('first');
    writeFileSync(cachePath(path), loadProgram(path).makeCache());
    for (const [i, broken] of [undefined, Buffer.alloc(0), Buffer.alloc(500, 7)].entries()) {
      write(`other ${i}`); // the same source again, V8 would have compiled in memory
      if (broken !== undefined) writeFileSync(cachePath(path), broken);
      const program = loadProgram(path);
      assert.equal(program.cacheAccepted, false);
      program.run(START);
      assert.deepEqual(said(), ['one', `other ${i}`, path, 'function']);
    }
  });
});
