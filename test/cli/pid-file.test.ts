import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { claimPidFile, releasePidFile } from '../../src/cli/pid-file.ts';
import { itNeeding } from '../support/requirements.ts';

describe('pid file', () => {
  let dir: string;
  let path: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    path = join(dir, 'pid');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const holds = (): string => readFileSync(path, 'utf8');
  const OURS = `${process.pid}\n`;
  const deadPid = async (): Promise<number | undefined> => {
    const child = spawn('true');
    await once(child, 'exit');
    return child.pid;
  };

  it('is made, and removed at release', async () => {
    await claimPidFile(path);
    assert.equal(holds(), OURS);
    assert.deepEqual(readdirSync(dir), ['pid']);
    releasePidFile(path);
    assert.deepEqual(readdirSync(dir), []);
  });

  // Launchers read it as soon as it is there. Only Linux reports each name, and what happened to it.
  for (const before of [undefined, '', 'that of a dead process'] as const) {
    const title = before === undefined ? 'new' : `in the place of ${before || 'an empty one'}`;
    itNeeding(`${title}: it is there whole, and never written to`, ['linux'], async () => {
      if (before !== undefined) writeFileSync(path, before === '' ? '' : `${await deadPid()}\n`);
      const seen: string[] = [];
      const watcher = watch(dir, (kind, name) => {
        if (name === 'pid' || name === 'end') seen.push(`${kind} ${name}`);
      });
      await claimPidFile(path);
      writeFileSync(join(dir, 'end'), '');
      while (!seen.includes('rename end')) await turn();
      watcher.close();
      const ofPid = new Set(seen.filter((event) => event.endsWith('pid')));
      assert.deepEqual([...ofPid], ['rename pid']);
    });
  }

  it('of a live process is refused and kept', async () => {
    writeFileSync(path, `${process.ppid}\n`);
    await assert.rejects(claimPidFile(path), {
      code: 'ERR_HAWSER_RUN',
      message: new RegExp(`running process ${process.ppid}: end it`),
    });
    assert.equal(holds(), `${process.ppid}\n`);
    assert.deepEqual(readdirSync(dir), ['pid']);
  });

  it('of a dead process is taken over', async () => {
    writeFileSync(path, `${await deadPid()}\n`);
    await claimPidFile(path);
    assert.equal(holds(), OURS);
  });

  // Only Linux says when a process started.
  itNeeding('older than the process that has its number now is taken over', ['linux'], async () => {
    writeFileSync(path, `${process.ppid}\n`);
    utimesSync(path, 1_000, 1_000);
    await claimPidFile(path);
    assert.equal(holds(), OURS);
  });

  it('that is empty is taken over', async () => {
    writeFileSync(path, '');
    await claimPidFile(path);
    assert.equal(holds(), OURS);
  });

  for (const text of ['my diary', '-1', '0', '1 2']) {
    it(`with "${text}" in it is nobody's pid file, and kept`, async () => {
      writeFileSync(path, text);
      await assert.rejects(claimPidFile(path), /is not a pid file: remove it/);
      assert.equal(holds(), text);
    });
  }

  it('in no directory is an error that says so', () =>
    assert.rejects(claimPidFile(join(dir, 'none', 'pid')), /cannot write the pid file .*ENOENT/));

  it('of another is not removed at release', () => {
    writeFileSync(path, '1\n');
    releasePidFile(path);
    assert.equal(holds(), '1\n');
  });
});
