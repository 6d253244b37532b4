import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDirectory } from '../../src/native/make-directory.ts';
import { itNeeding } from '../support/requirements.ts';

const MODULE = new URL('../../src/native/make-directory.js', import.meta.url);

describe('makeDirectory', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('makes those above it, and returns the first that it made', () => {
    assert.equal(makeDirectory(join(dir, 'a/b/c'), 0o700), join(dir, 'a'));
    assert.equal(statSync(join(dir, 'a/b/c')).mode & 0o777, 0o700);
    assert.equal(makeDirectory(join(dir, 'a/b/c')), undefined);
  });

  it('below a file: ENOTDIR', () => {
    writeFileSync(join(dir, 'file'), '');
    assert.throws(() => makeDirectory(join(dir, 'file/a/b')), { code: 'ENOTDIR' });
  });

  it('below a symbolic link that leads nowhere: ENOENT', () => {
    symlinkSync('nowhere', join(dir, 'link'));
    assert.throws(() => makeDirectory(join(dir, 'link/a/b')), { code: 'ENOENT' });
    assert.ok(!existsSync(join(dir, 'nowhere')));
  });

  it('where the kernel takes none: ENOENT, at once', () => {
    const program = `import { makeDirectory } from '${MODULE}';
      try { makeDirectory('/proc/hawser/a'); } catch (error) { console.log(error.code); }`;
    const argv = ['--input-type=module', '-e', program];
    const { stdout } = spawnSync(process.execPath, argv, { encoding: 'utf8', timeout: 10_000 });
    assert.equal(stdout, 'ENOENT\n');
  });

  it('a file is no directory: EEXIST', () => {
    writeFileSync(join(dir, 'file'), '');
    assert.throws(() => makeDirectory(join(dir, 'file')), { code: 'EEXIST' });
  });

  for (const [mount, code] of [
    ['-o ro', 'EROFS'],
    ['-o nr_inodes=1', 'ENOSPC'],
  ] as const) {
    for (const path of ['a', 'a/b/c']) {
      itNeeding(`${path} on a file system mounted ${mount}: ${code}`, ['linux', 'userns'], () => {
        const program = `import { makeDirectory } from '${MODULE}';
          try { makeDirectory('${join(dir, path)}'); } catch (error) { console.log(error.code); }`;
        const { stdout, stderr } = spawnSync(
          'unshare',
          [
            ...[
              '-Urm',
              'sh',
              '-c',
              `mount -t tmpfs ${mount} none "$1" && shift && exec "$@"`,
              'sh',
            ],
            ...[dir, process.execPath, '--input-type=module', '-e', program],
          ],
          { encoding: 'utf8' },
        );
        assert.equal(stdout, `${code}\n`, stderr);
      });
    }
  }
});
