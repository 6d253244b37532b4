/** What a drop-in serves beside the network, and in which order. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../src/base/log.ts';
import { type DaemonDeps, runDaemon } from '../../src/cli/daemon.ts';
import type { DaemonConfig } from '../../src/cli/daemon-config.ts';
import { openNetwork } from '../../src/network/network.ts';
import { optionsIn } from './fake-network.ts';

describe('daemon: what is served beside its network', () => {
  let dir: string;
  let events: EventEmitter;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    events = new EventEmitter();
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const run = (
    deps: Pick<DaemonDeps, 'serveMore' | 'pidFileEnd'>,
    more: Partial<DaemonConfig> = {},
  ): Promise<number> =>
    runDaemon(optionsIn(dir, { api: { kind: 'none' }, ...more }), {
      openNetwork,
      log: SILENT,
      version: '0',
      events,
      graceMs: 5_000,
      exit: () => assert.fail('hard exit'),
      ...deps,
    });

  it('comes before the links, is ready after them, and ends in the reverse order', async () => {
    const order: string[] = [];
    const link = join(dir, 'qemu.sock');
    const status = await run({
      pidFileEnd: '',
      serveMore: async (_network, daemon) => {
        order.push(`served, link: ${existsSync(link)}`);
        assert.equal(readFileSync(join(dir, 'hawser.pid'), 'utf8'), `${process.pid}`);
        for (const name of ['first', 'second']) {
          daemon.add({ close: () => void order.push(`${name} closed`) });
        }
        daemon.makeDirectoriesFor(join(dir, 'sub', 'own'));
        writeFileSync(join(dir, 'sub', 'own'), '');
        daemon.own(join(dir, 'sub', 'own'));
        daemon.whenReady(() => {
          order.push(`ready, link: ${existsSync(link)}`);
          daemon.stop('enough');
        });
        await Promise.resolve();
      },
    });
    assert.equal(status, 0);
    assert.deepEqual(order, [
      'served, link: false',
      'ready, link: true',
      'second closed',
      'first closed',
    ]);
    assert.deepEqual(readdirSync(dir), []);
  });

  it('a failure to serve ends the start: what was added is closed, and nothing is left', async () => {
    let closed = 0;
    const failing = run({
      serveMore: async (_network, daemon) => {
        daemon.add({ close: () => void closed++ });
        await Promise.reject(new Error('no place'));
      },
    });
    await assert.rejects(failing, { message: 'no place' });
    assert.equal(closed, 1);
    assert.deepEqual(readdirSync(dir), []);
  });

  it('a link that cannot be opened closes it too', async () => {
    let closed = 0;
    writeFileSync(join(dir, 'qemu.sock'), 'not a socket');
    const failing = run({
      serveMore: async (_network, daemon) => {
        daemon.add({ close: () => void closed++ });
        daemon.whenReady(() => assert.fail('ready'));
        await Promise.resolve();
      },
    });
    await assert.rejects(failing);
    assert.equal(closed, 1);
    assert.deepEqual(readdirSync(dir), ['qemu.sock']);
  });

  it('fail: the end is a failure', async () => {
    const failing = run({
      serveMore: async (_network, daemon) => {
        daemon.whenReady(() => daemon.fail(new Error('it broke')));
        await Promise.resolve();
      },
    });
    await assert.rejects(failing, { message: 'it broke' });
    assert.deepEqual(readdirSync(dir), []);
  });
});
