import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EAGAIN } from '../../src/native/constants.ts';
import { loadPosix } from '../../src/native/load.ts';
import { watchAccepted, watchReadable } from '../../src/native/watch.ts';

const posix = loadPosix();

describe('native/watch', () => {
  it('says that there is something to read, without reading it, until it has been read', async () => {
    const [a, b] = posix.socketPair('stream');
    const bytes = new Uint8Array(3);
    const seen: number[] = [];
    await new Promise<void>((done) => {
      const watch = watchReadable(b, () => {
        const len = posix.read(watch.fd, bytes, 0, 3); // less than there is: it is called again
        seen.push(len);
        if (len > 0) return;
        watch.close();
        watch.close(); // once is enough
        done();
      });
      posix.write(a, Uint8Array.of(1, 2, 3, 4, 5), 0, 5);
      posix.close(a);
    });
    assert.deepEqual(seen, [3, 2, 0]);
  });

  it('takes an accepted socket, with the descriptors passed to it', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-watch-'));
    const server = createServer({ pauseOnConnect: true }).listen(join(dir, 's'));
    await once(server, 'listening');
    const client = connect(join(dir, 's'));
    const [accepted] = await once(server, 'connection');
    const handle: unknown = Reflect.get(client, '_handle');
    assert.ok(typeof handle === 'object' && handle !== null && 'fd' in handle);
    const file = openSync(join(dir, 'f'), 'w+');
    const fds: number[] = [];
    const bytes = new Uint8Array(8);
    const lens = await new Promise<number[]>((done) => {
      const watch = watchAccepted(accepted, () => {
        const receiver = posix.makeFdReceiver(watch.fd);
        const first = receiver.receive(bytes, 2, 4, fds);
        const rest = receiver.receive(bytes, 6, 2, fds);
        const none = receiver.receive(bytes, 0, 8, fds);
        watch.close();
        done([first, rest, none]);
      });
      posix.sendWithFds(Number(handle.fd), Uint8Array.of(1, 2, 3, 4, 5), [file, file]);
    });
    assert.deepEqual(lens, [4, 1, -EAGAIN]);
    assert.deepEqual([...bytes], [0, 0, 1, 2, 3, 4, 5, 0]);
    assert.equal(fds.length, 2);
    for (const fd of fds) {
      writeSync(fd, 'x');
      closeSync(fd);
    }
    closeSync(file);
    client.destroy();
    server.close();
    rmSync(dir, { recursive: true });
  });
});

describe('native/shared-mapping', () => {
  it('shares a file, within its bounds, until unmapped', () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-map-'));
    const file = openSync(join(dir, 'f'), 'w+');
    ftruncateSync(file, 8192);
    const one = posix.mapShared(file, 0, 8192);
    const two = posix.mapShared(file, 4096, 4096);
    closeSync(file);
    two.view(1, 10)[0] = 7;
    assert.equal(one.view(4096, 4096)[1], 7);
    assert.throws(() => one.view(8000, 193), RangeError);
    assert.throws(() => one.view(-1, 1), RangeError);
    one.unmap();
    one.unmap();
    two.unmap();
    assert.throws(() => one.view(0, 1), RangeError);
    assert.throws(() => posix.mapShared(-1, 0, 4096), { code: 'EBADF' });
    rmSync(dir, { recursive: true });
  });
});
