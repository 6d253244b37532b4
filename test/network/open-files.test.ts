import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clientLimits, followersMax } from '../../src/control/waiting-room.ts';
import { openFilesLimit } from '../../src/native/open-files-limit.ts';
import { openFilesNow, socketBudget } from '../../src/network/open-files.ts';

describe('cli/open-files', () => {
  for (const [openFiles, inUse, whole, kept] of [
    [Number.POSITIVE_INFINITY, 40, 65_536, 1_280],
    [1_048_576, 40, 65_536, 1_280],
    [20_000, 40, 19_960, 1_280],
    [1024, 40, 984, 246],
    [256, 40, 216, 54],
    [1, 40, 1, 0],
  ] as const) {
    it(`of ${openFiles} descriptors, ${inUse} of them open, guests may have ${whole - kept}`, () => {
      const budget = socketBudget(openFiles, inUse);
      assert.deepEqual([budget.whole, budget.kept], [whole, kept]);
      const { served, waiting } = clientLimits(openFiles);
      if (openFiles < 256) return;
      assert.ok(served + waiting < kept, `${served} and ${waiting}`);
      const following = followersMax('events', openFiles) + followersMax('flows', openFiles);
      assert.equal(following, (3 * served) / 4);
    });
  }

  it('counts what is open, and nothing where there is nothing to read', () => {
    assert.equal(openFilesNow('/nowhere'), 0);
    if (process.platform === 'linux') assert.ok(openFilesNow() > 3);
  });

  it('reads the limit of this process, and knows none where there is none to read', () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    try {
      const file = join(dir, 'limits');
      assert.equal(openFilesLimit(file), Number.POSITIVE_INFINITY);
      for (const [text, limit] of [
        ['Max open files            1024                 4096                 files     \n', 1024],
        [
          'Max open files            unlimited            unlimited            files     \n',
          Infinity,
        ],
      ] as const) {
        writeFileSync(file, `Limit                     Soft Limit           Hard Limit\n${text}`);
        assert.equal(openFilesLimit(file), limit);
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('64 are enough to import the library, and to start a network', () => {
    const script =
      "const { createNetwork } = await import('hawser'); await (await createNetwork()).close();";
    const argv = [
      '-c',
      'ulimit -n 64; exec "$@"',
      'sh',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ];
    const { status, stderr } = spawnSync('/bin/sh', argv, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  });
});
