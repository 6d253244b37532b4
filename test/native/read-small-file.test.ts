import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOrEmpty, readSmallFile, SMALL_FILE_MAX } from '../../src/native/read-small-file.ts';

describe('a file that a user names', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-file-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('is read, through a symbolic link too', () => {
    const text = 'ä'.repeat(100_000);
    writeFileSync(join(dir, 'a'), text);
    symlinkSync('a', join(dir, 'b'));
    assert.equal(readSmallFile(join(dir, 'a')), text);
    assert.equal(readSmallFile(join(dir, 'b')), text);
  });

  it('may be as large as allowed, and no larger', () => {
    const path = join(dir, 'a');
    writeFileSync(path, '');
    truncateSync(path, SMALL_FILE_MAX);
    assert.equal(readSmallFile(path).length, SMALL_FILE_MAX);
    truncateSync(path, SMALL_FILE_MAX + 1);
    assert.throws(() => readSmallFile(path), { code: 'ERR_HAWSER_FILE_SIZE' });
  });

  it('is no FIFO: nobody waits for its writer', () => {
    const path = join(dir, 'fifo');
    execFileSync('mkfifo', [path]);
    assert.throws(() => readSmallFile(path), { code: 'ERR_HAWSER_FILE_KIND', message: /a FIFO/ });
  });

  it('is no directory and no device', () => {
    assert.throws(() => readSmallFile(dir), { message: /is a directory: name a regular file/ });
    assert.throws(() => readSmallFile('/dev/zero'), { message: /\/dev\/zero is a device/ });
  });

  it('is empty where it is the null device, through a link too, for those who only read it', () => {
    symlinkSync('/dev/null', join(dir, 'null'));
    for (const path of ['/dev/null', join(dir, 'null')]) {
      assert.equal(readOrEmpty(path, SMALL_FILE_MAX), '');
      assert.throws(() => readSmallFile(path), { message: /is a device/ });
    }
    assert.throws(() => readOrEmpty('/dev/zero', SMALL_FILE_MAX), { message: /is a device/ });
    writeFileSync(join(dir, 'a'), 'text');
    assert.equal(readOrEmpty(join(dir, 'a'), SMALL_FILE_MAX), 'text');
  });

  it('is no socket', async () => {
    const path = join(dir, 'sock');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    assert.throws(() => readSmallFile(path), { message: /is a socket/ });
    await new Promise((resolve) => server.close(resolve));
  });

  it('is missing: the error of the system', () => {
    assert.throws(() => readSmallFile(join(dir, 'none')), { code: 'ENOENT' });
  });
});
