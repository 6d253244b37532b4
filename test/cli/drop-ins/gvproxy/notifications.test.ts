import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Log } from '../../../../src/base/log.ts';
import { SILENT } from '../../../../src/base/log.ts';
import { ConnectionNumbers } from '../../../../src/cli/drop-ins/gvproxy/connection-numbers.ts';
import { Notifications, QUEUE_LIMIT } from '../../../../src/cli/drop-ins/gvproxy/notifications.ts';

describe('cli/drop-ins/gvproxy/notifications', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-notify-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('each on a connection of its own, a line, in order', async () => {
    const path = join(dir, 'n.sock');
    const received: Promise<string>[] = [];
    const server = createServer((connection) => received.push(text(connection))).listen(path);
    await once(server, 'listening');
    const notifications = new Notifications(path, SILENT);
    notifications.send({ notification_type: 'ready' });
    notifications.send({
      notification_type: 'connection_closed',
      mac_address: '5a:94:ef:e4:0c:ee',
    });
    await notifications.close();
    server.close();
    assert.deepEqual(await Promise.all(received), [
      '{"notification_type":"ready"}\n',
      '{"notification_type":"connection_closed","mac_address":"5a:94:ef:e4:0c:ee"}\n',
    ]);
  });

  it('beyond the limit they are dropped, with a warning; nobody there is a warning for each', async () => {
    const warnings: string[] = [];
    const log: Log = { ...SILENT, warn: (_fields, message) => warnings.push(message) };
    const notifications = new Notifications(join(dir, 'nobody.sock'), log);
    for (let i = 0; i < QUEUE_LIMIT + 5; i++) notifications.send({ notification_type: 'ready' });
    assert.deepEqual(
      warnings,
      Array.from({ length: 5 }, () => 'unable to send notification'),
    );
    await notifications.close();
    assert.equal(warnings.length, QUEUE_LIMIT + 5);
    notifications.send({ notification_type: 'ready' });
    await notifications.close();
    assert.equal(warnings.length, QUEUE_LIMIT + 6);
  });
});

describe('cli/drop-ins/gvproxy/connection-numbers', () => {
  it('are given in order, kept while the link is there, and not given again', () => {
    const numbers = new ConnectionNumbers();
    const guest = (mac: string, link: string | null) => ({ mac, link });
    assert.deepEqual(numbers.of([guest('a', 'q#1'), guest('b', 'q#2'), guest('c', null)]), [
      ['a', 0],
      ['b', 1],
    ]);
    assert.deepEqual(numbers.of([guest('b', 'q#2'), guest('d', 'q#2')]), [
      ['b', 1],
      ['d', 1],
    ]);
    assert.deepEqual(numbers.of([guest('a', 'q#1')]), [['a', 2]]);
  });
});
