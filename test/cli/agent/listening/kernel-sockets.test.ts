import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { KernelSockets } from '../../../../src/cli/agent/listening/kernel-sockets.ts';
import type { BoundSocket, BoundSockets } from '../../../../src/native/posix.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { describeNeeding } from '../../../support/requirements.ts';
import { socket } from './socket.ts';

describeNeeding('agent: sockets that listen, by what the kernel has', ['linux'], () => {
  let answers: (readonly BoundSocket[] | 'same' | undefined)[];
  let isClosed: boolean;
  let log: RecordingLog;
  let entered: number;
  let sockets: KernelSockets;

  beforeEach(() => {
    answers = [];
    isClosed = false;
    log = new RecordingLog();
    entered = 0;
    const diagnosis: BoundSockets = {
      read: () => answers.shift(),
      close: () => {
        isClosed = true;
      },
    };
    const within = <T>(read: () => T): T => {
      entered++;
      return read();
    };
    const posix = { openBoundSockets: () => diagnosis };
    sockets = new KernelSockets({ posix, log, withUdp: false, within });
  });

  it('by its diagnosis, also after one that failed', () => {
    const one = [socket('127.0.0.1:8080')];
    answers = [one, undefined, 'same'];
    assert.equal(sockets.read(), one);
    assert.equal(sockets.read(), undefined);
    assert.equal(sockets.read(), 'same');
    sockets.close();
    assert.ok(isClosed);
    assert.deepEqual(log.lines, []);
  });

  it('by its tables, where the first one fails, and says so', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const address = server.address();
      const port = typeof address === 'object' ? address?.port : undefined;
      const read = sockets.read();
      assert.ok(read !== undefined && read !== 'same');
      assert.ok(read.some((one) => one.port === port));
      assert.ok(isClosed);
      assert.equal(log.lines.length, 1);
      sockets.read();
      assert.equal(entered, 2);
    } finally {
      server.close();
    }
  });
});
