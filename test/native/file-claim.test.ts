import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileClaim } from '../../src/native/file-claim.ts';
import { loadPosix } from '../../src/native/load.ts';
import { LeaseFile } from '../../src/proxy/lease-file.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { describeNeeding } from '../support/requirements.ts';

describeNeeding('a claim of a file', ['linux', 'koffi'], () => {
  let dir: string;
  let path: string;
  let log: RecordingLog;
  const claims: FileClaim[] = [];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    path = join(dir, 'file');
    log = new RecordingLog();
  });
  afterEach(() => {
    for (const claim of claims.splice(0)) claim.close();
    rmSync(dir, { recursive: true });
  });

  const claimOf = (posix: { lockFile(fd: number): number } = loadPosix()): FileClaim => {
    const claim = new FileClaim(path, 'the file', log);
    claims.push(claim);
    claim.useCalls(posix);
    return claim;
  };
  const replace = (): void => {
    writeFileSync(`${path}.new`, '');
    renameSync(`${path}.new`, path);
  };

  it('is one at a time: the second is told which file, once', () => {
    writeFileSync(path, '');
    const first = claimOf();
    first.renew();
    assert.deepEqual(log.lines, []);
    const second = claimOf();
    second.renew();
    const message = 'the file is in use by another process: give each a file of its own';
    assert.deepEqual(log.lines, [{ level: 'warn', fields: { file: path }, message }]);
    first.close();
    second.renew();
    claimOf();
    assert.equal(log.lines.length, 2, 'the second has it now');
  });

  it('is of the file that is there now', () => {
    writeFileSync(path, '');
    const first = claimOf();
    replace();
    first.renew();
    claimOf();
    assert.equal(log.lines.length, 1);
  });

  it('tells both of two that replace it', () => {
    const logs = [new RecordingLog(), new RecordingLog()];
    const files = logs.map((of) => new LeaseFile(path, of));
    for (const file of files) file.claim.useCalls(loadPosix());
    const write = (n: number): void => {
      files[n]?.ipv4.save([]);
      files[n]?.flush();
    };
    const told = (): number[] => logs.map(({ lines }) => lines.length);
    write(0);
    write(0);
    assert.deepEqual(told(), [0, 0]);
    write(1);
    assert.deepEqual(told(), [0, 1]);
    write(0);
    write(1);
    assert.deepEqual(told(), [1, 1]);
    for (const file of files) file.close();
  });

  for (const [what, make] of [
    ['nothing', () => {}],
    ['a directory', () => mkdirSync(path)],
    ['a FIFO', () => assert.equal(spawnSync('mkfifo', [path]).status, 0)],
  ] as const) {
    it(`says nothing where there is ${what}`, () => {
      make();
      for (const claim of [claimOf(), claimOf()]) claim.renew();
      assert.deepEqual(log.lines, []);
    });
  }

  it('says nothing where the file system has no locks', () => {
    writeFileSync(path, '');
    claimOf({ lockFile: () => -37 });
    claimOf({ lockFile: () => -37 });
    assert.deepEqual(log.lines, []);
  });
});
