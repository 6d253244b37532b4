import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MadeDirectories } from '../../src/native/made-directories.ts';
import { listenOnUnixPath } from '../../src/native/unix-listener.ts';

describe('native/unix-listener', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  for (const mode of [0o600, 0o660, 0o666]) {
    it(`a socket has mode ${mode.toString(8)} as soon as it is there, and the umask is as before`, () => {
      const path = join(dir, 's');
      const before = process.umask(0o002);
      const server = createServer();
      try {
        listenOnUnixPath(server, { path }, mode);
        assert.equal(statSync(path).mode & 0o777, mode);
        assert.equal(process.umask(), 0o002);
      } finally {
        process.umask(before);
        server.close();
      }
    });
  }

  it('a path that cannot be bound is the error of the server', async () => {
    const server = createServer();
    const failed = once(server, 'error');
    listenOnUnixPath(server, { path: join(dir, 'no', 's') }, 0o666);
    const [error] = await failed;
    assert.equal(error.code, 'EACCES');
  });

  it('a path that is too long is refused: the system would cut it, and make another socket', async () => {
    const server = createServer();
    const failed = once(server, 'error');
    listenOnUnixPath(server, { path: join(dir, 'x'.repeat(108)) }, 0o600);
    const [error] = await failed;
    assert.equal(error.code, 'ENAMETOOLONG');
    assert.deepEqual(readdirSync(dir), []);
  });

  it('directories that were made go again, those of others and with something in them stay', () => {
    mkdirSync(join(dir, 'there'));
    const made = new MadeDirectories();
    made.makeFor(join(dir, 'there/a/b/s'));
    made.makeFor(join(dir, 'there/a/c/s'));
    made.makeFor(join(dir, 'there/d/s'));
    assert.equal(statSync(join(dir, 'there/a/b')).mode & 0o777, 0o700);
    writeFileSync(join(dir, 'there/d/file'), '');
    made.remove();
    assert.deepEqual(readdirSync(join(dir, 'there')), ['d']);
  });
});
