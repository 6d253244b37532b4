import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { draftPath, replaceFile } from '../../src/proxy/replace-file.ts';

describe('proxy/replace-file', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('replaces a file, with its mode, and leaves no draft', () => {
    const path = join(dir, 'leases');
    writeFileSync(path, 'old', { mode: 0o644 });
    replaceFile(path, 'new', 0o600);
    assert.equal(readFileSync(path, 'utf8'), 'new');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(dir), ['leases']);
  });

  it('a symbolic link in its place is replaced, not followed', () => {
    const path = join(dir, 'leases');
    writeFileSync(join(dir, 'victim'), 'precious');
    symlinkSync(join(dir, 'victim'), path);
    replaceFile(path, 'new', 0o600);
    assert.ok(lstatSync(path).isFile());
    assert.equal(readFileSync(join(dir, 'victim'), 'utf8'), 'precious');
  });

  it('when it cannot, the old file stays and no draft', () => {
    const path = join(dir, 'leases');
    mkdirSync(path);
    assert.throws(() => replaceFile(path, 'new', 0o600), { code: 'EISDIR' });
    assert.deepEqual(readdirSync(dir), ['leases']);
  });

  it('drafts have names that nobody can foresee', () => {
    assert.notEqual(draftPath('x'), draftPath('x'));
    assert.match(draftPath('x'), /^x\.[0-9a-f]{16}\.new$/);
  });
});
