/** Resident memory after a burst, of a process that does nothing else. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describeNeeding } from '../support/requirements.ts';

const CHILD = fileURLToPath(new URL('./memory-return-child.js', import.meta.url));

describeNeeding('network/memory-return', ['linux', 'koffi'], () => {
  it('300 MB of rings are given back when their connections have ended', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [CHILD]);
    const { before, peak, after }: Record<string, number> = JSON.parse(stdout);
    assert.ok(before !== undefined && peak !== undefined && after !== undefined);
    assert.ok(peak > before + 250, stdout);
    assert.ok(after < before + 30, stdout);
  });
});
