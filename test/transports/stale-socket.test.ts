import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeStaleSocket } from '../../src/transports/stale-socket.ts';
import { itNeeding } from '../support/requirements.ts';

describe('transports/stale-socket', () => {
  let dir: string;
  let path: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-stalé-'));
    path = join(dir, 's.sock');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('nothing there: free', async () => {
    assert.equal(await removeStaleSocket(path), undefined);
  });

  it('a file of the user stays', async () => {
    writeFileSync(path, '');
    assert.equal(await removeStaleSocket(path), 'not-a-socket');
    assert.ok(existsSync(path));
  });

  itNeeding(
    'one that is served is live, and who serves it notices nothing',
    ['linux'],
    async () => {
      let connections = 0;
      const server = createServer(() => connections++).listen(path);
      await once(server, 'listening');
      assert.equal(await removeStaleSocket(path), 'live');
      const after = createServer().listen(join(dir, 'other.sock'));
      await once(after, 'listening'); // a turn, in which a connection would have arrived
      after.close();
      server.close();
      await once(server, 'close');
      assert.equal(connections, 0);
    },
  );

  it('one whose server is gone is removed', async () => {
    const server = createServer().listen(path);
    await once(server, 'listening');
    renameSync(path, `${path}.kept`); // Node removes the path that it has made
    server.close();
    await once(server, 'close');
    renameSync(`${path}.kept`, path);
    assert.equal(await removeStaleSocket(path), undefined);
    assert.equal(existsSync(path), false);
  });
});
