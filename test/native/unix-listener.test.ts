import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
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

  it('it is not there before it accepts, and goes with its server', () => {
    const path = join(dir, 's');
    const probe = createServer().listen(join(dir, 'probe'));
    const pipe = Object.getPrototypeOf(Reflect.get(probe, '_handle'));
    probe.close();
    const { listen } = pipe;
    const wasThere: boolean[] = [];
    const server = createServer();
    pipe.listen = function (...args: unknown[]): unknown {
      wasThere.push(existsSync(path)); // bound, and not listening yet
      return Reflect.apply(listen, this, args);
    };
    try {
      listenOnUnixPath(server, { path }, 0o600);
    } finally {
      pipe.listen = listen;
    }
    assert.deepEqual(wasThere, [false]);
    assert.deepEqual(readdirSync(dir), ['s']);
    server.close();
    assert.deepEqual(readdirSync(dir), []);
  });

  it('a place that is taken is the error of the server, and stays', async () => {
    const path = join(dir, 's');
    writeFileSync(path, 'of another');
    const server = createServer();
    const failed = once(server, 'error');
    listenOnUnixPath(server, { path }, 0o600);
    const [error] = await failed;
    assert.equal(error.code, 'EADDRINUSE');
    assert.deepEqual(readdirSync(dir), ['s']);
  });

  it("a socket that another has put in its place is that one's", () => {
    const path = join(dir, 's');
    const [first, second] = [createServer(), createServer()];
    listenOnUnixPath(first, { path }, 0o600);
    rmSync(path);
    listenOnUnixPath(second, { path }, 0o600);
    first.close();
    assert.deepEqual(readdirSync(dir), ['s']);
    second.close();
    assert.deepEqual(readdirSync(dir), []);
  });

  it('a name that leaves no room for another beside it', async () => {
    const path = join(dir, 's'.padEnd(107 - dir.length - 1, 's'));
    const deep = join(dir, 'd'.repeat(107 - dir.length - 3), 's');
    mkdirSync(dirname(deep));
    for (const one of [path, deep]) {
      const server = createServer();
      listenOnUnixPath(server, { path: one }, 0o600);
      await once(server, 'listening');
      assert.ok(existsSync(one));
      server.close();
      assert.ok(!existsSync(one));
    }
  });

  it('a path that cannot be bound is the error of the server', async () => {
    const server = createServer();
    const failed = once(server, 'error');
    listenOnUnixPath(server, { path: join(dir, 'no', 's') }, 0o666);
    const [error] = await failed;
    assert.equal(error.code, 'EACCES');
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
