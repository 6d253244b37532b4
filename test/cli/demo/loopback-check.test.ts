import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { checkLoopback } from '../../../src/cli/demo/loopback-check.ts';

describe('cli/demo/loopback-check', () => {
  it('is content with a server that can be reached, and says so of one that cannot', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    await checkLoopback(address.port);
    server.close();
    await once(server, 'close');
    await assert.rejects(checkLoopback(address.port), {
      code: 'ERR_HAWSER_RUN',
      message: /^nothing can connect to 127\.0\.0\.1 port \d+: connect ECONNREFUSED/,
    });
  });
});
