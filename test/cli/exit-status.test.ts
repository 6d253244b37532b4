import assert from 'node:assert/strict';
import { exitStatusOf } from '../../src/cli/exit-status.ts';

describe('cli/exit-status', () => {
  it('where descriptors ran out, how many there may be and how to have more', async () => {
    const lines: string[] = [];
    const { write } = process.stderr;
    process.stderr.write = (text) => lines.push(String(text)) > 0;
    let status: number;
    try {
      status = await exitStatusOf(() =>
        Promise.reject(new Error("EMFILE: too many open files, open '/tmp/x'")),
      );
    } finally {
      process.stderr.write = write;
    }
    assert.equal(status, 1);
    assert.match(
      lines.join(''),
      /^hawser: EMFILE: .*\nhawser: this process may have \d+ files open: it needs 64, and one for each connection; allow more by "ulimit -n", or LimitNOFILE= in a unit of systemd\n$/,
    );
  });
});
