import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, writeSync } from 'node:fs';
import { takeDescriptor } from '../../src/native/take-descriptor.ts';
import { describeNeeding } from '../support/requirements.ts';

const STDOUT = 1;

describeNeeding('a descriptor of another process', ['linux', 'koffi'], () => {
  let child: ChildProcess;
  let pid: number;

  beforeEach(async () => {
    child = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] });
    await once(child, 'spawn');
    assert.ok(child.pid !== undefined);
    ({ pid } = child);
  });
  afterEach(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });

  it('is open when that process has ended', async () => {
    const fd = takeDescriptor(pid, STDOUT);
    child.kill('SIGKILL');
    await once(child, 'exit');
    writeSync(fd, 'hello');
    assert.ok(child.stdout);
    const [bytes] = await once(child.stdout, 'data');
    closeSync(fd);
    assert.equal(String(bytes), 'hello');
  });

  it('that is none is named', () => {
    assert.throws(() => takeDescriptor(pid, 99), {
      code: 'EBADF',
      message: `cannot take descriptor 99 of process ${pid}: EBADF`,
    });
  });

  it('of a process that has ended', async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.throws(() => takeDescriptor(pid, STDOUT), { code: 'ESRCH' });
  });
});
