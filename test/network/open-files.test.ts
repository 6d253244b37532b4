import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { flowLimits, openFilesLimit } from '../../src/network/open-files.ts';

describe('cli/open-files', () => {
  for (const [openFiles, connections, requests, bindings] of [
    [Number.POSITIVE_INFINITY, 32_768, 4096, 4096],
    [1_048_576, 32_768, 4096, 4096],
    [20_000, 10_000, 2500, 2500],
    [1024, 512, 128, 128],
    [1, 1, 1, 1],
  ] as const) {
    it(`of ${openFiles} descriptors a quarter at least is left for the rest`, () => {
      const limits = flowLimits(openFiles);
      assert.deepEqual(limits, { connections, requests, bindings });
      if (openFiles > 8) assert.ok(connections + bindings <= (openFiles * 3) / 4);
    });
  }

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
});
