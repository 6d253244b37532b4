import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { ProblemError } from '../../src/control/problem.ts';
import { readBody } from '../../src/control/request-body.ts';

describe('control/request-body', () => {
  for (const how of ['reset', 'closed'] as const) {
    it(`a client whose connection is ${how} within the body has made the mistake, not hawser`, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      assert.ok(typeof address === 'object' && address !== null);
      const client = connect(address.port, '127.0.0.1');
      try {
        client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{');
        const request = await new Promise<IncomingMessage>((resolve) => {
          server.once('request', resolve);
        });
        const body = assert.rejects(
          readBody(request),
          (error) => error instanceof ProblemError && error.problem.status === 400,
        );
        if (how === 'reset') client.resetAndDestroy();
        else client.end();
        await body;
      } finally {
        client.destroy();
        server.close();
      }
    });
  }
});
