import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PortTable, PublishedPort } from '../../../src/proxy/ports/port-table.ts';
import { formatHostSide, type PublishSpec } from '../../../src/proxy/ports/publish-spec.ts';
import { parsePublish } from '../../../src/proxy/ports/publish-text.ts';
import { portTable } from './port-fixture.ts';

describe('proxy/ports/own-conflict', () => {
  let table: PortTable;
  let dir: string;
  beforeEach(() => {
    table = portTable();
    dir = mkdtempSync(join(tmpdir(), 'hawser-own-'));
  });
  afterEach(() => {
    table.close();
    rmSync(dir, { recursive: true });
  });

  const specOf = (text: string): PublishSpec => {
    const [spec] = parsePublish(text.replace('DIR', dir));
    assert.ok(spec !== undefined);
    return spec;
  };
  const publish = (text: string): Promise<PublishedPort> => table.publish(specOf(text), 'api');

  for (const [first, second] of [
    ['127.0.0.1:0:80', '127.0.0.1:PORT:81'],
    ['127.0.0.1:0:80', 'PORT:80'],
    ['0:80', '127.0.0.1:PORT:80'],
    ['127.0.0.1:0:80', '0.0.0.0:PORT:80'],
    ['*:0:80', '127.0.0.1:PORT:80'],
    ['127.0.0.1:0:80/udp', '127.0.0.1:PORT:80/udp'],
    ['unix:DIR/s:192.168.127.2:80', 'unix:DIR/s:192.168.127.2:81'],
  ] as const) {
    it(`${second} after ${first}: hawser itself listens there`, async () => {
      const port = await publish(first);
      const again = second.replace('PORT', port.protocol === 'unix' ? '' : `${port.hostPort}`);
      await assert.rejects(publish(again), {
        code: 'EADDRINUSE',
        message: `cannot publish ${formatHostSide(specOf(again))}: hawser itself publishes ${formatHostSide(port)} already: see "hawser ports"`,
      });
    });
  }

  it('a port that somebody else has is not claimed for one beside it', async () => {
    const other = portTable();
    try {
      const port = await other.publish(specOf('127.0.0.1:0:80'), 'api');
      assert.ok(port.protocol !== 'unix');
      await publish(`127.0.0.2:${port.hostPort}:80`);
      await publish(`127.0.0.1:${port.hostPort}:80/udp`);
      await assert.rejects(publish(`127.0.0.1:${port.hostPort}:80`), {
        message: /something on the host listens there already/,
      });
    } finally {
      other.close();
    }
  });
});
