import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSink } from '../../src/cli/file-sink.ts';
import { createLog } from '../../src/cli/log.ts';
import { StderrSink } from '../../src/cli/stderr-sink.ts';
import { describeNeeding } from '../support/requirements.ts';

const LONG = 'x'.repeat(9_000);

/** A FIFO takes 64 KiB, and of a long line a part: as a disk that is full. */
describeNeeding('cli/log: a sink that is full', ['linux'], () => {
  let dir: string;
  let path: string;
  let reader: number;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-log-'));
    path = join(dir, 'log');
    reader = fifo();
  });
  afterEach(() => {
    closeSync(reader);
    rmSync(dir, { recursive: true });
  });

  function fifo(): number {
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  function drain(): string {
    const bytes = Buffer.alloc(1 << 20);
    try {
      return bytes.toString('latin1', 0, readSync(reader, bytes));
    } catch {
      return '';
    }
  }

  const inFile = (): FileSink => new FileSink(path);
  const inPipe = (): StderrSink => new StderrSink(openSync(path, constants.O_WRONLY));

  for (const [what, open] of [
    ['--log-file', inFile],
    ['stderr', inPipe],
  ] as const) {
    it(`${what} has whole lines of JSON alone, and one that counts those that are missing`, async () => {
      const log = await createLog({ level: 'info', format: 'json', file: path }, open());
      for (let n = 0; n < 20; n++) log.info({ n }, LONG);
      let text = drain();
      for (let n = 20; n < 22; n++) log.info({ n }, LONG);
      text += drain();
      const lines: Record<string, unknown>[] = text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      const told = lines.findIndex(({ lines }) => lines !== undefined);
      assert.equal(lines[told]?.['msg'], 'lines of the log could not be written');
      assert.equal(lines[told]?.['lines'], 20 - told);
      assert.ok(told > 0);
      const numbers = lines.flatMap(({ n }) => n ?? []);
      assert.deepEqual(numbers, [...Array(told).keys(), 20, 21]);
    });
  }

  it('the end of a line is not written to the next file', async () => {
    const sink = inFile();
    const log = await createLog({ level: 'info', format: 'logfmt', file: path }, sink);
    for (let n = 0; n < 20; n++) log.info({ n }, LONG);
    renameSync(path, `${path}.1`);
    const next = fifo();
    sink.reopen();
    log.info({ n: 20 }, 'next');
    const bytes = Buffer.alloc(1 << 16);
    const text = bytes.toString('latin1', 0, readSync(next, bytes));
    closeSync(next);
    assert.match(
      text,
      /^time=\S+ level=warning msg="lines of the log could not be written" lines=\d+\ntime=\S+ level=info msg="next" n=20\n$/,
    );
  });
});
