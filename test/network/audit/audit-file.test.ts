import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../../src/base/log.ts';
import { AuditFile, type AuditFileOptions } from '../../../src/network/audit/audit-file.ts';
import { until } from '../../proxy/recording.ts';
import { itNeeding } from '../../support/requirements.ts';

describe('network/audit/audit-file', () => {
  let dir: string;
  let path: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    path = join(dir, 'audit.log');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const open = (changes: Partial<AuditFileOptions> = {}): AuditFile =>
    new AuditFile({
      path,
      maxBytes: 0,
      isSynchronous: false,
      log: SILENT,
      gapLine: (lines) => `gap ${lines}\n`,
      ...changes,
    });
  const text = (name = 'audit.log'): string => readFileSync(join(dir, name), 'utf8');

  for (const isSynchronous of [false, true]) {
    it(`lines are appended in their order, for this user alone: synchronous ${isSynchronous}`, async () => {
      const file = open({ isSynchronous });
      const lines = Array.from({ length: 5_000 }, (_, n) => `${n}\n`);
      for (const line of lines) file.add(line);
      await until(() => text().length === lines.join('').length);
      await file.close();
      assert.equal(text(), lines.join(''));
      assert.equal(statSync(path).mode & 0o777, 0o600);
      const again = open({ isSynchronous });
      again.add('more\n');
      await again.close();
      assert.ok(text().endsWith('4999\nmore\n'));
    });
  }

  it('what the queue has no room for is counted, and told by a line', async () => {
    const file = open({ queueBytes: 20 });
    for (let n = 0; n < 10; n++) file.add('123456789\n');
    assert.equal(file.lost, 8);
    await until(() => text().includes('gap'));
    file.add('after\n');
    await file.close();
    assert.equal(text(), '123456789\n123456789\ngap 8\nafter\n');
  });

  it('it is rotated when it is large, so many times and no more, and loses nothing of these', async () => {
    const file = open({ maxBytes: 10, isSynchronous: true });
    for (let n = 0; n < 8; n++) assert.ok(file.writeNow(`line ${n}....\n`));
    await file.close();
    assert.deepEqual(readdirSync(dir).sort(), [
      'audit.log',
      ...[1, 2, 3, 4].map((n) => `audit.log.${n}`),
    ]);
    assert.equal(text(), '');
    assert.match(text('audit.log.1'), /^line 7/);
    assert.match(text('audit.log.4'), /^line 4/);
    assert.equal(statSync(join(dir, 'audit.log')).mode & 0o777, 0o600);
  });

  it('another may rotate it: it is opened anew on request', async () => {
    const file = open();
    file.add('one\n');
    await until(() => text() === 'one\n');
    renameSync(path, `${path}.old`);
    file.reopen();
    file.add('two\n');
    await file.close();
    assert.deepEqual([text('audit.log.old'), text()], ['one\n', 'two\n']);
  });

  it('a line that a killed daemon has not ended is left behind', async () => {
    writeFileSync(path, '{"a":1}\n{"b"');
    const file = open();
    file.add('{"c":3}\n');
    await file.close();
    assert.equal(text(), '{"a":1}\n{"b"\n{"c":3}\n');
  });

  /** A pipe that nobody reads takes 64 KiB, which end in the middle of a line. */
  const fifo = (): number => {
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  };

  for (const isSynchronous of [false, true]) {
    itNeeding(
      `a line of which the file took a part is whole in the next one: synchronous ${isSynchronous}`,
      ['linux'],
      async () => {
        const reader = fifo();
        const file = open({ isSynchronous });
        const lines = Array.from({ length: 100 }, (_, n) => `${n} ${'x'.repeat(990)}\n`);
        for (const line of lines) file.add(line);
        await until(() => file.problem !== undefined);
        renameSync(path, `${path}.old`);
        file.reopen();
        await file.close();
        closeSync(reader);
        const first = Number.parseInt(text(), 10);
        assert.ok(first > 0);
        assert.equal(text(), lines.slice(first).join(''));
        assert.equal(file.lost, 0);
      },
    );
  }

  itNeeding('what is no regular file is not rotated', ['linux'], async () => {
    const reader = fifo();
    const file = open({ maxBytes: 10, isSynchronous: true });
    for (let n = 0; n < 8; n++) assert.ok(file.writeNow(`line ${n}....\n`));
    await file.close();
    closeSync(reader);
    assert.deepEqual(readdirSync(dir), ['audit.log']);
  });

  it('it is not written through a symbolic link, nor where there is no directory', () => {
    symlinkSync(join(dir, 'elsewhere'), path);
    const error = { code: 'ERR_HAWSER_AUDIT' };
    assert.throws(() => open(), error);
    assert.throws(() => open({ path: join(dir, 'no', 'where') }), error);
  });

  itNeeding(
    'a device that is full: a line that must be there is refused, at once',
    ['linux'],
    async () => {
      const file = open({ path: '/dev/full', isSynchronous: true });
      assert.equal(file.writeNow('one\n'), false);
      assert.equal(file.problem, 'ENOSPC');
      for (let n = 0; n < 1_000; n++) assert.equal(file.writeNow('two\n'), false);
      assert.equal(file.written, 0);
      await file.close();
    },
  );

  itNeeding(
    'a device that is full: other lines wait, as many as there is room for',
    ['linux'],
    async () => {
      const file = open({ path: '/dev/full', queueBytes: 100 });
      for (let round = 0; round < 3; round++) {
        for (let n = 0; n < 20; n++) file.add('123456789\n');
        await until(() => file.problem === 'ENOSPC');
      }
      assert.ok(file.lost >= 40);
      await file.close();
    },
  );
});
