import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
const wholeCoverage = fileURLToPath(new URL('../../tools/whole-coverage.js', import.meta.url));

describe('tools/whole-coverage', () => {
  it('a worker that exits slowly leaves what it covered', function () {
    this.timeout(60_000);
    this.slow(20_000);
    const folder = mkdtempSync(join(tmpdir(), 'hawser-coverage-'));
    try {
      for (const name of ['a.cjs', 'b.cjs']) {
        writeFileSync(join(folder, name), `${spec}\n`);
      }
      const coverage = join(folder, 'coverage');
      execFileSync(
        process.execPath,
        [
          mocha,
          '--no-config',
          '--exit',
          '--parallel',
          '--jobs',
          '2',
          '--require',
          wholeCoverage,
          'a.cjs',
          'b.cjs',
        ],
        { cwd: folder, env: { ...process.env, NODE_V8_COVERAGE: coverage } },
      );
      const written = readdirSync(coverage).map((name) =>
        readFileSync(join(coverage, name), 'utf8'),
      );
      const covered = (name: string): boolean =>
        written.some((text) => JSON.parse(text) && text.includes(`/${name}"`));
      assert.deepEqual(['a.cjs', 'b.cjs'].filter(covered), ['a.cjs', 'b.cjs']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** A spec whose process needs two seconds to end, twice what Mocha gives it. */
const spec = `
it('passes', () => {});
process.on('exit', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000));
`;
