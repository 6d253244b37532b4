import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPosix } from '../../src/native/load.ts';
import { refuseDescriptors } from '../../src/native/refuse-descriptors.ts';
import { until } from '../system/support/until.ts';

const posix = loadPosix();
const EPERM = 1;

describe('native/refuse-descriptors', () => {
  it('a listener and what it accepts take bytes, but no descriptors, where the kernel can refuse them', async () => {
    const [probe, other] = posix.socketPair('stream');
    const canRefuse = posix.refuseDescriptors(probe);
    const dir = mkdtempSync(join(tmpdir(), 'hawser-refuse-'));
    const path = join(dir, 's');
    const server = createServer((socket) => socket.resume()).listen(path);
    await once(server, 'listening');
    refuseDescriptors(server);
    const send = async (fds: readonly number[]): Promise<number> => {
      const client = connect(path);
      await once(client, 'connect');
      const handle: unknown = Reflect.get(client, '_handle');
      assert.ok(typeof handle === 'object' && handle !== null && 'fd' in handle);
      const sent = posix.sendWithFds(Number(handle.fd), Uint8Array.of(1), fds);
      client.destroy();
      return sent;
    };
    await until('the answer to be as it should', async () => {
      return (await send([other])) === (canRefuse ? -EPERM : 1);
    });
    assert.equal(await send([]), 1);
    server.close();
    rmSync(dir, { recursive: true });
    for (const fd of [probe, other]) posix.close(fd);
  });
});
